"""A network component small enough to see through: it writes down what it was asked, and fails or hangs
where a test says so. With `real` its interfaces are real ones (pairs with both ends inside) in the
engine's real sandboxes."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from moby_components.common import predefined
from moby_components.common.netns import in_netns
from moby_components.engine.moby import Moby
from moby_py.errors import Conflict, MobyError, RuntimeFailed
from moby_py.kinds import Network
from moby_py.model import Attachment, AttachRequest, Endpoint, NetworkRecord
from support.context import make_context

HANG = "hang"
PEER = "peer-"


class Wire(Network):
    """`faults`: step -> error text, or HANG. A fault holds until it is taken out; "attach NET" and the
    like mean one network only."""

    name: ClassVar[str] = "wire"
    drivers: ClassVar[tuple[str, ...]] = ("bridge", "wire")
    own_names: ClassVar[bool] = True
    addressing = "engine"
    names = "none"
    default = "bridge"

    def __init__(self, context: Any, *, real: bool = False, subnet: str = "", ipv6: bool = False) -> None:
        super().__init__(context)
        self.real, self.subnet, self.ipv6 = real, subnet, ipv6
        self.faults: dict[str, str] = {}
        self.log_: list[tuple[str, ...]] = []
        self.made: dict[str, NetworkRecord] = {}
        self.attached: dict[tuple[str, str], AttachRequest] = {}
        self.recovered: list[Endpoint] = []
        self.reached = asyncio.Event()
        self.go = asyncio.Event()
        self._next_port = 40000

    def predefined(self) -> Sequence[NetworkRecord]:
        config = [{"Subnet": self.subnet}] if self.subnet else []
        first = NetworkRecord(
            id="", name=self.default, driver="bridge", sandbox="private", builtin=True,
            addressing=self.addressing, names="none", ipv6=self.ipv6, ipam={"Config": config},
        )  # fmt: skip
        return (first, *predefined.records("host", "none"))

    async def plan(self, draft: NetworkRecord) -> NetworkRecord:
        await self._step("plan", draft.name)
        return replace(draft, sandbox="private", addressing=self.addressing, names=self.names)

    async def create(self, network: NetworkRecord) -> NetworkRecord:
        await self._step("create", network.name)
        self.made[network.id] = network
        return network

    async def remove(self, network: NetworkRecord) -> None:
        await self._step("remove", network.name)
        self.made.pop(network.id, None)

    async def attach(self, request: AttachRequest) -> Attachment:
        if request.network.sandbox != "private":
            return predefined.idle(request)
        assert request.network_id in self.made, "attached to a network that was not made"
        await self._step("attach", request.network.name, request.interface)
        if any(p.host_port == 1 for p in request.ports):
            raise Conflict("Bind for 0.0.0.0:1 failed: port is already allocated")
        if self.real:
            await in_netns(request.sandbox.path, lambda: _plug(request))
        self.attached[request.container_id, request.network_id] = request
        ports = []
        for port in request.ports:
            self._next_port += 1
            number = port.host_port or self._next_port
            ports.append(replace(port, host_ip="0.0.0.0", host_port=number, host_port_end=0))
        return Attachment(
            container_id=request.container_id,
            network_id=request.network_id,
            endpoint_id=request.endpoint_id,
            interface=request.interface,
            mac=request.mac,
            ipv4=request.ipv4,
            ipv6=request.ipv6,
            gateway4=request.gateway4,
            gateway6=request.gateway6,
            ports=tuple(ports),
        )

    async def detach(self, request: AttachRequest, attachment: Attachment | None) -> None:
        if request.network.sandbox != "private":
            return
        word = "nothing" if attachment is None else attachment.interface
        await self._step("detach", request.network.name, word)
        there = self.attached.pop((request.container_id, request.network_id), None)
        if there and self.real and Path(request.sandbox.path).exists():
            await in_netns(request.sandbox.path, lambda: _unplug(request.interface))

    async def recover(self, endpoints: Sequence[Endpoint]) -> None:
        await self._step("recover", str(len(endpoints)))
        self.recovered = list(endpoints)
        keys = {(e.request.container_id, e.request.network_id) for e in endpoints}
        for key in set(self.attached) - keys:
            del self.attached[key]

    async def _step(self, step: str, *words: str) -> None:
        self.log_.append((step, *words))
        fault = self.faults.get(f"{step} {words[0]}") or self.faults.get(step)
        if fault == HANG:
            self.reached.set()
            await self.go.wait()
        elif fault:
            raise RuntimeFailed(fault)

    def steps(self, *kinds: str) -> list[tuple[str, ...]]:
        """What it was asked of these kinds, and forgets it."""
        found = [entry for entry in self.log_ if not kinds or entry[0] in kinds]
        self.log_.clear()
        return found


class Radio(Wire):
    """Another component, whose networks get their addresses from it."""

    name: ClassVar[str] = "radio"
    drivers: ClassVar[tuple[str, ...]] = ("bridge", "radio")
    addressing = "component"


class Cable(Wire):
    """A further one beside the default, for a word of its own."""

    name: ClassVar[str] = "cable"
    drivers: ClassVar[tuple[str, ...]] = ("cable",)

    def predefined(self) -> Sequence[NetworkRecord]:
        return ()


def wire(root: Path, cls: type[Wire] = Wire, *, id: str | None = None, **more: Any) -> Wire:
    return cls(make_context(cls, root, id=id), **more)


async def another_life(house: Any, *networks: Wire) -> Moby:
    """The engine after a crash, with these network components in the place of those it had."""
    await house.crash()
    kinds = house.wiring.by_kind["network"]
    kinds.clear()
    for component in networks:
        kinds[component.context.id] = component
    await house.engine.open()
    return house.engine


def failure(error: BaseException) -> str:
    return error.message if isinstance(error, MobyError) else str(error)


def _plug(request: AttachRequest) -> None:
    name = request.interface
    lines = [f"link add {name} address {request.mac} type veth peer name {PEER}{name[:10]}"]
    lines += [f"link set {name} up", f"link set {PEER}{name[:10]} up"]
    lines += [f"address add {a} dev {name}" for a in (request.ipv4, request.ipv6) if a]
    if request.default_route:
        gateways = [g for g in (request.gateway4, request.gateway6) if g]
        lines += [f"route replace default via {g} dev {name}" for g in gateways]
    _ip(lines)


def _unplug(name: str) -> None:
    _ip([f"link del {name}"])


def _ip(lines: list[str]) -> None:
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True, timeout=10)
