"""The network half of the API tests' engine: a dictionary."""

from __future__ import annotations

from dataclasses import replace

from moby_py.errors import Conflict, NotFound, PermissionDenied
from moby_py.kinds import Engine
from moby_py.model import NetworkRecord
from support.api_process import hexid

NONE = NetworkRecord(id="n" * 64, name="none", driver="null", sandbox="empty", builtin=True)


class DoubleNetworks(Engine):
    records: dict[str, NetworkRecord]
    joined: dict[tuple[str, str], dict]

    async def networks(self):
        return list(self.records.values())

    async def network_inspect(self, network):
        for record in self.records.values():
            if network == record.name or record.id.startswith(network):
                return record
        raise NotFound(f"network {network} not found")

    async def network_create(self, name, *, driver="", ipam=None, **kwargs):
        record = NetworkRecord(id=hexid(), name=name, driver=driver or "x", sandbox="private")
        kwargs["options"], kwargs["labels"] = kwargs["options"] or {}, kwargs["labels"] or {}
        self.records[record.id] = replace(record, ipam=ipam or {}, **kwargs)
        return record

    async def network_remove(self, network):
        record = await self.network_inspect(network)
        if record.builtin:
            raise PermissionDenied(f"{record.name} is a pre-defined network and cannot be removed")
        del self.records[record.id]

    async def network_connect(self, network, ref, settings):
        record = await self.network_inspect(network)
        box = self.box(ref)
        if (record.id, box.container.id) in self.joined:
            raise PermissionDenied(f"endpoint with name {ref} already exists in network {network}")
        self.joined[record.id, box.container.id] = settings

    async def network_disconnect(self, network, ref, *, force=False):
        record = await self.network_inspect(network)
        if self.joined.pop((record.id, self.box(ref).container.id), None) is None:
            raise Conflict(f"container {ref} is not connected to network {network}")
