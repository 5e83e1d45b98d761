"""The conformance kit: what a component promises, as tests that its author subclasses.

    from moby_py.testing import RuntimeContract
    from moby_py_acme import Acme

    class TestAcme(RuntimeContract):
        component_class = Acme
        good_options = [{}, {"root": "/run/acme"}]
        bad_options = [({"roots": "/x"}, "'roots' was unexpected")]

Each promise is one test with a sentence for a name; the built-ins run the same classes. Needs the
extra `moby-py[testing]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from moby_py.testing.contracts.component import ComponentContract
    from moby_py.testing.contracts.network import NetworkContract
    from moby_py.testing.contracts.runtime import RuntimeContract
    from moby_py.testing.contracts.secrets import SecretsContract
    from moby_py.testing.contracts.volume import VolumeContract

_HOME = {
    "ComponentContract": "component",
    "NetworkContract": "network",
    "RuntimeContract": "runtime",
    "SecretsContract": "secrets",
    "VolumeContract": "volume",
}
# Without this, an author whose assertion fails sees a bare AssertionError.
pytest.register_assert_rewrite(*(f"moby_py.testing.contracts.{name}" for name in _HOME.values()))

__all__ = ["ComponentContract", "NetworkContract", "RuntimeContract", "SecretsContract", "VolumeContract"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(f"moby_py.testing.contracts.{_HOME[name]}"), name)
    raise AttributeError(f"module 'moby_py.testing' has no attribute {name!r}")
