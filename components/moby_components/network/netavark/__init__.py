"""network/netavark: Podman's network stack - netavark for bridges and ports, aardvark-dns for names."""

from __future__ import annotations

from moby_py import Component, hookimpl


@hookimpl
def moby_components() -> list[type[Component]]:
    from moby_components.network.netavark.component import Netavark

    return [Netavark]
