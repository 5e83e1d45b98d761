"""moby-py: build your own container platform from parts.

What a component author imports, and nothing that costs time at import. The kinds are in
`moby_py.kinds`, the values they exchange in `moby_py.model`, the test kit in `moby_py.testing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from moby_py.component import Component, Context, Dirs, PlatformInfo, Service
    from moby_py.errors import MobyError
    from moby_py.hookspecs import hookimpl
    from moby_py.needs import Binary, Feature
    from moby_py.veto import Veto

_HOME = {
    "Binary": "moby_py.needs",
    "Component": "moby_py.component",
    "Context": "moby_py.component",
    "Dirs": "moby_py.component",
    "Feature": "moby_py.needs",
    "MobyError": "moby_py.errors",
    "PlatformInfo": "moby_py.component",
    "Service": "moby_py.component",
    "Veto": "moby_py.veto",
    "hookimpl": "moby_py.hookspecs",
}

__all__ = [
    "Binary",
    "Component",
    "Context",
    "Dirs",
    "Feature",
    "MobyError",
    "PlatformInfo",
    "Service",
    "Veto",
    "hookimpl",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'moby_py' has no attribute {name!r}")
