"""Networks that exist without anyone making them, and need no work to attach: "none" and "host"."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import ClassVar

from moby_py.errors import Conflict, NotFound, Unsupported
from moby_py.kinds import Network
from moby_py.model import Attachment, AttachRequest, NetworkRecord

SANDBOX = {"none": "empty", "host": "host"}
DRIVER = {"none": "null", "host": "host"}


def record(platform: str, name: str) -> NetworkRecord:
    """A predefined network; its id is the same at every start of the same platform."""
    id = hashlib.sha256(f"moby-py network {platform} {name}".encode()).hexdigest()
    return NetworkRecord(id=id, name=name, driver=DRIVER[name], sandbox=SANDBOX[name], builtin=True)


class PredefinedOnly(Network):
    """A network component that brings only predefined networks: attaching costs nothing."""

    predefined: ClassVar[tuple[str, ...]]

    async def list(self) -> Sequence[NetworkRecord]:
        return [record(self.context.platform.name, name) for name in self.predefined]

    async def inspect(self, network: str) -> NetworkRecord:
        known = await self.list()
        found = [n for n in known if network in (n.name, n.id)]
        found = found or [n for n in known if network and n.id.startswith(network)]
        if len(found) != 1:
            raise NotFound(f"network {network} not found")
        return found[0]

    async def create(
        self,
        name: str,
        *,
        driver: str = "",
        internal: bool = False,
        ipv6: bool = False,
        ipam: Mapping[str, object] | None = None,
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> NetworkRecord:
        raise Unsupported(
            f"cannot create network {name} - network/{self.name} only has {' and '.join(self.predefined)}",
            hint="wire a network component that makes networks into the blueprint",
        )

    async def remove(self, network: str) -> None:
        name = (await self.inspect(network)).name
        raise Conflict(f"{name} is a pre-defined network and cannot be removed")

    async def attach(self, request: AttachRequest) -> Attachment:
        network = await self.inspect(request.network_id)
        digest = hashlib.sha256(f"{network.id} {request.container_id}".encode()).hexdigest()
        return Attachment(container_id=request.container_id, network_id=network.id, endpoint_id=digest)

    async def detach(self, container_id: str, network_id: str) -> None:
        """Nothing was taken."""

    async def recover(self, live: Sequence[str]) -> None:
        """Nothing is kept."""
