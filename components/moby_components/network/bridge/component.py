"""The `network` contract on bridges of the host."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from moby_components.common import predefined
from moby_components.common.bridging import BridgedNetwork, Bridges, Defaults
from moby_py.component import Context
from moby_py.errors import InvalidArgument, Unavailable
from moby_py.model import Attachment, AttachRequest, Endpoint, NetworkRecord
from moby_py.needs import Feature, Need

NAME_OPTION = "com.docker.network.bridge.name"


class BridgeNetwork(BridgedNetwork):
    """Ordinary networks for a platform of root; "host" and "none" for those who ask."""

    name: ClassVar[str] = "bridge"
    summary: ClassVar[str] = "bridges, NAT and published ports over netlink and nftables"
    drivers: ClassVar[tuple[str, ...]] = ("bridge",)
    needs: ClassVar[tuple[Need, ...]] = (
        Feature("bridge-networks", why="its networks are bridges in the host's network"),
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        options = self.options
        self._bridges = Bridges(
            context.platform.name,
            part="" if context.id == self.name else context.id,
            defaults=Defaults(mtu=options["mtu"], icc=options["icc"], masquerade=options["ip_masquerade"]),
            host_firewall=options["host_firewall"],
            log=self.log,
        )

    def predefined(self) -> Sequence[NetworkRecord]:
        named = self.options["bridge_name"]
        default = predefined.default(
            "bridge",
            ipv6=bool(self.options["subnet6"]),
            ipam=_ipam(self.options),
            options={NAME_OPTION: named} if named else {},
        )
        return (default, *predefined.records("host", "none"))

    async def open(self) -> None:
        if self.context.platform.rootless:
            raise Unavailable(
                "network/bridge makes bridges in the host's network - an ordinary user may not",
                hint="use network/pasta",
            )
        await self._bridges.open()

    async def close(self) -> None:
        await self._bridges.close()

    async def attach(self, request: AttachRequest) -> Attachment:
        if request.network.sandbox != "private":
            return predefined.idle(request)
        return await self._bridges.attach(request)

    async def detach(self, request: AttachRequest, attachment: Attachment | None) -> None:
        if request.network.sandbox == "private":
            await self._bridges.detach(request)

    async def recover(self, endpoints: Sequence[Endpoint]) -> None:
        await self._bridges.recover([e for e in endpoints if e.request.network.sandbox == "private"])


def _ipam(options: Mapping[str, Any]) -> dict[str, Any]:
    """The default network's pools where the blueprint names them; the engine fills in the rest."""
    config = []
    for subnet, gateway in (
        (options["subnet"], options["gateway"]),
        (options["subnet6"], options["gateway6"]),
    ):
        if not subnet:
            if gateway:
                raise InvalidArgument(f"gateway {gateway} has no subnet - set subnet too")
            continue
        try:
            network = ipaddress.ip_network(subnet)
            inside = not gateway or ipaddress.ip_address(gateway) in network
        except ValueError as error:
            raise InvalidArgument(
                f"the default network cannot be made - {error}",
                hint="write subnet and gateway of network/bridge as in 10.88.0.0/16 and 10.88.0.1",
            ) from None
        if not inside:
            raise InvalidArgument(f"gateway {gateway} is not in {subnet}")
        config.append({"Subnet": str(network)} | ({"Gateway": gateway} if gateway else {}))
    return {"Driver": "default", "Options": {}, "Config": config}
