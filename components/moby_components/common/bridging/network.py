"""What every `network` component on `Bridges` does in the same way: networks planned, made, removed."""

from __future__ import annotations

from moby_components.common.bridging.bridges import Bridges
from moby_py.kinds import Network
from moby_py.model import NetworkRecord


class BridgedNetwork(Network):
    """`_bridges` is the subclass's own, in the world it chooses; predefined "host" and "none" need none."""

    _bridges: Bridges

    async def plan(self, draft: NetworkRecord) -> NetworkRecord:
        record = self._bridges.plan(draft)
        await self._bridges.check(record)
        return record

    async def create(self, network: NetworkRecord) -> NetworkRecord:
        if network.sandbox == "private":
            await self._bridges.create(network)
        return network

    async def remove(self, network: NetworkRecord) -> None:
        if network.sandbox == "private":
            await self._bridges.remove(network)
