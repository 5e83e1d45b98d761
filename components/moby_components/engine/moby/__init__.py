"""engine/moby: Docker's containers - life cycle, execs, logs, events, volumes - on any runtime."""

from __future__ import annotations

from moby_components.engine.moby.engine import Moby
from moby_py import Component, hookimpl

__all__ = ["Moby", "moby_components"]


@hookimpl
def moby_components() -> list[type[Component]]:
    return [Moby]
