"""network/macvlan: containers as machines on the host's own LAN, each with a MAC of its own."""

from __future__ import annotations

from moby_components.network.macvlan.component import Macvlan
from moby_py import Component, hookimpl


@hookimpl
def moby_components() -> list[type[Component]]:
    return [Macvlan]
