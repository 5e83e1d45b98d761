"""network/bridge: bridge networks over netlink and nftables, in this process."""

from __future__ import annotations

from moby_py import Component, hookimpl


@hookimpl
def moby_components() -> list[type[Component]]:
    from moby_components.network.bridge.component import BridgeNetwork

    return [BridgeNetwork]
