"""One network component and containers that are only namespaces, on a host of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from moby_components.network.cni.component import Cni
from moby_components.network.macvlan.component import Macvlan
from moby_py.kinds import Network
from moby_py.model import Attachment, AttachRequest, Endpoint, NetworkRecord, PortBinding, Sandbox
from moby_py.testing.contracts.component import with_defaults
from support.context import make_context
from support.worlds import World, command, world

PLUGINS = Path("/usr/lib/cni")


def id_of(word: str) -> str:
    return hashlib.sha256(word.encode()).hexdigest()


class Rig:
    """`life()` is one life of the daemon: a new component on the same directories."""

    def __init__(self, world: World, root: Path, cls: type[Network], options: Mapping[str, Any]) -> None:
        self.world = world
        self.root = root
        self.cls = cls
        self.options = with_defaults(cls, dict(options))
        self.records: dict[str, NetworkRecord] = {}
        self.endpoints: dict[tuple[str, str], Endpoint] = {}
        self.component: Network = self.life()

    def life(self) -> Network:
        self.component = self.cls(make_context(self.cls, self.root, options=self.options))
        return self.component

    async def default(self, subnet: str = "10.71.0.0/16", gateway: str = "10.71.0.1") -> NetworkRecord:
        """The first predefined network, with the id and the pool that the engine gives it."""
        record = replace(self.component.predefined()[0], id=id_of("default"))
        if record.addressing == "engine":
            record = replace(record, ipam={"Config": [{"Subnet": subnet, "Gateway": gateway}]})
        return await self.create(record)

    async def network(
        self,
        name: str,
        subnet: str = "10.72.0.0/24",
        *,
        driver: str = "bridge",
        gateway: str = "",
        six: str = "",
        internal: bool = False,
        options: Mapping[str, str] | None = None,
    ) -> NetworkRecord:
        """As `docker network create` makes one."""
        configs = [{"Subnet": s, "Gateway": gateway or _first(s)} for s in (subnet, six) if s]
        draft = NetworkRecord(
            id=id_of(name),
            name=name,
            driver=driver,
            sandbox="",
            internal=internal,
            ipv6=bool(six),
            ipam={"Driver": "default", "Config": configs},
            options=dict(options or {}),
        )
        return await self.create(await self.component.plan(draft))

    async def create(self, record: NetworkRecord) -> NetworkRecord:
        self.records[record.name] = await self.component.create(record)
        return self.records[record.name]

    def request(
        self,
        container: str,
        network: NetworkRecord,
        ip: str = "",
        six: str = "",
        *,
        ports: Sequence[PortBinding] = (),
        sandbox: str = "",
        **more: Any,
    ) -> AttachRequest:
        engine = network.addressing == "engine"
        subnets = [str(c["Subnet"]) for c in network.ipam.get("Config", ())]
        four = next((s for s in subnets if ":" not in s), "")
        length = four.partition("/")[2]
        number = int(id_of(container)[:4], 16) % 200 + 10
        ip = ip or (f"{four.rpartition('.')[0]}.{number}" if engine and four else "")
        given: dict[str, Any] = {
            "container_id": id_of(container),
            "container_name": container,
            "network": network,
            "sandbox": Sandbox(mode="private", path=sandbox or self.sandbox(container)),
            "endpoint_id": id_of(f"{container} {network.name}"),
            "ports": tuple(ports),
            "ipv4": f"{ip}/{length}" if ip and engine else ip,
            "ipv6": six,
            "gateway4": _gateway(network, 4) if engine else "",
            "gateway6": _gateway(network, 6) if engine and six else "",
            "mac": f"02:42:{id_of(container + network.name)[:8]}" if engine else "",
        }
        if given["mac"]:
            raw = id_of(container + network.name)[:8]
            given["mac"] = "02:42:" + ":".join(raw[n : n + 2] for n in range(0, 8, 2))
        return AttachRequest(**{**given, **more})

    def sandbox(self, container: str) -> str:
        path = self.world.path(container)
        return str(path) if path.exists() else self.world.make(container)

    async def attach(self, request: AttachRequest) -> Attachment:
        attachment = await self.component.attach(request)
        self.endpoints[request.container_id, request.network_id] = Endpoint(
            request=request, attachment=attachment
        )
        return attachment

    async def join(self, container: str, network: NetworkRecord, *args: Any, **more: Any) -> Attachment:
        return await self.attach(self.request(container, network, *args, **more))

    async def leave(self, container: str, network: NetworkRecord) -> None:
        endpoint = self.endpoints.pop((id_of(container), network.id))
        await self.component.detach(endpoint.request, endpoint.attachment)

    async def again(self) -> None:
        """The next life of a killed daemon: create for all networks, then recover once."""
        await self.killed()
        self.life()
        for record in list(self.records.values()):
            await self.create(record)
        await self.component.recover(list(self.endpoints.values()))

    async def killed(self) -> None:
        """What the kernel does for a killed daemon."""
        if isinstance(self.component, Cni):
            await self.component._ports.close()

    async def end(self) -> None:
        """Everybody leaves, networks go, the daemon ends."""
        for endpoint in list(self.endpoints.values()):
            await self.component.detach(endpoint.request, endpoint.attachment)
        self.endpoints.clear()
        for record in self.records.values():
            if not record.builtin:
                await self.component.remove(record)
        await self.component.close()


@contextlib.contextmanager
def rig(tmp_path: Path, cls: type[Network] = Cni, **options: Any) -> Iterator[Rig]:
    with world(tmp_path) as made:
        yield Rig(made, tmp_path / "r", cls, options)


@contextlib.contextmanager
def macvlan_rig(tmp_path: Path, **options: Any) -> Iterator[Rig]:
    with rig(tmp_path, Macvlan, **options) as made:
        yield made


def left(world: World) -> list[str]:
    """Links, rules and tables on the host, beside the uplink."""
    tables = world.inside("host", lambda: command("nft", "list", "tables")).splitlines()
    mine = [table for table in tables if "moby" in table]
    return [line for line in (*world.state().splitlines(), *mine) if line not in ("lo", "uplink")]


def _first(subnet: str) -> str:
    import ipaddress

    return str(ipaddress.ip_network(subnet)[1])


def _gateway(network: NetworkRecord, version: int) -> str:
    if network.internal:
        return ""
    for config in network.ipam.get("Config", ()):
        if (":" in config["Subnet"]) == (version == 6):
            return str(config.get("Gateway", ""))
    return ""


async def to_thread(function: Any, *args: Any, **more: Any) -> Any:
    return await asyncio.to_thread(function, *args, **more)
