"""network/cni: every network is a CNI configuration list, every attach an ADD, every detach a DEL."""

from __future__ import annotations

import asyncio
import functools
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from moby_components.common.predefined import idle, records
from moby_components.network.cni import bridges, chain, conflist, drivers, needs, own, shared
from moby_components.network.cni.attaching import Attaching
from moby_components.network.cni.made import Made
from moby_components.network.cni.notes import Notes
from moby_components.network.cni.plugin import Plugins
from moby_components.network.cni.relays import Relays
from moby_py import Context, PlatformInfo, Service
from moby_py.errors import MobyError
from moby_py.kinds import Network
from moby_py.model import Attachment, AttachRequest, Endpoint, NetworkRecord
from moby_py.needs import Feature, Need

_PARALLEL = 4


class Cni(Network):
    """Networks by CNI plugins (specification 1.0; GC where plugins speak 1.1)."""

    name: ClassVar[str] = "cni"
    summary: ClassVar[str] = "networks by CNI plugins: bridge, portmap, firewall, or a chain of your own"
    drivers: ClassVar[tuple[str, ...]] = tuple(drivers.WORDS)
    needs: ClassVar[tuple[Need, ...]] = (Feature("root", why="network namespaces and bridges"),)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        timeout = float(self.options.get("timeout") or 60)
        self._plugins = Plugins(self.options.get("plugin_dirs") or needs.DIRS, context.binaries, timeout)
        self._ports = Relays(self.log)
        notes = Notes(context.dirs.state / "notes", timeout)
        self._attaching = Attaching(self._plugins, notes, self._ports, context.dirs, self.log)
        self._made = Made(context.dirs.state / "networks", self._plugins)
        self._platform = context.platform.name
        self._table = f"moby-py-{self._platform}-{context.id}"
        self._networks: dict[str, tuple[NetworkRecord, Mapping[str, Any]]] = {}
        self._used = False
        self._busy: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @classmethod
    def needs_for(cls, options: Mapping[str, Any]) -> tuple[Need, ...]:
        return (*cls.needs, *needs.of(options))

    @classmethod
    def native_config(cls, options: Mapping[str, Any], platform: PlatformInfo) -> Mapping[str, str]:
        return {
            f"{name}.conflist": conflist.text(config)
            for name, config in own.lists(options, platform.name).items()
        }

    def services(self) -> Sequence[Service]:
        """The dhcp plugin's daemon, where a list of the user's has that for its addresses."""
        if not any("dhcp" in conflist.types(config) for config in self._own.values()):
            return ()
        socket = self.context.dirs.run / "dhcp.sock"
        argv = (str(self._plugins.find("dhcp")), "daemon", "-socketpath", str(socket))
        return (Service(name="cni-dhcp", argv=argv, ready=socket, keep=True),)

    def predefined(self) -> Sequence[NetworkRecord]:
        mine = [own.record(name, config, self.options) for name, config in self._own.items()]
        return (*mine, *records("host", "none"))

    async def plan(self, draft: NetworkRecord) -> NetworkRecord:
        drivers.check(draft)
        config = drivers.rendered(draft, self._platform, self._chain)
        for type in conflist.types(config):
            self._plugins.find(type)
        return replace(draft, sandbox="private", addressing="engine", names="engine")

    async def create(self, network: NetworkRecord) -> NetworkRecord:
        if network.sandbox != "private":
            return network
        if network.builtin and network.name in self._own:
            config: Mapping[str, Any] = self._own[network.name]
        else:
            config = drivers.rendered(network, self._platform, self._chain)
        given = network.builtin and network.name in (self.options.get("networks") or {})
        config = await self._made.write(network.id, config, drawn=not given)
        self._used = True
        self._networks[network.id] = (network, config)
        try:
            self._guard()
        except BaseException:
            del self._networks[network.id]
            raise
        if network.addressing == "component" and not (network.ipam or {}).get("Config"):
            return replace(network, ipam=own.ipam(config))
        return network

    async def remove(self, network: NetworkRecord) -> None:
        if network.sandbox != "private":
            return
        await self._attaching.forget_network(network.id)
        self._networks.pop(network.id, None)
        self._made.take_down(network.id)
        if self._used:
            self._guard()

    async def attach(self, request: AttachRequest) -> Attachment:
        if request.network.sandbox != "private":
            return idle(request)
        async with self._busy[request.container_id]:
            return await self._attaching.join(request, self._config(request))

    async def detach(self, request: AttachRequest, attachment: Attachment | None) -> None:
        if request.network.sandbox != "private":
            return
        async with self._busy[request.container_id]:
            await self._attaching.leave(request.container_id, request.network_id)

    async def recover(self, endpoints: Sequence[Endpoint]) -> None:
        mine = [e for e in endpoints if e.request.network.sandbox == "private"]
        living = {(e.request.container_id, e.request.network_id) for e in mine}
        notes = self._attaching.notes.all()
        lost = [note for note in notes if (note.container_id, note.network_id) not in living]
        await self._all(functools.partial(self._attaching.clear, note) for note in lost)
        await self._all(functools.partial(self._mend, endpoint) for endpoint in mine)
        await self._all(functools.partial(self._collect, id, mine) for id in self._networks)
        for id in self._made.ids() - self._networks.keys():
            self._made.take_down(id)

    async def close(self) -> None:
        """Ports are given up and bridges without a container go; the others keep running."""
        await self._ports.close()
        if not self._used:
            return
        busy = self._made.take_idle_down([config for _network, config in self._networks.values()])
        if not busy and not self._attaching.notes.all():
            bridges.guard(self._table, ())
            await shared.tidy(self.context.binaries)
        self._networks.clear()
        self._used = False

    # -- parts ---------------------------------------------------------------------------------------

    @functools.cached_property
    def _own(self) -> dict[str, dict[str, Any]]:
        return own.lists(self.options, self._platform, self.context.dirs.config)

    @property
    def _chain(self) -> Sequence[Mapping[str, Any]]:
        return self.options.get("chain") or ()

    def _config(self, request: AttachRequest) -> Mapping[str, Any]:
        return self._networks[request.network_id][1]

    def _guard(self) -> None:
        guarded = []
        for network, config in self._networks.values():
            bridge = conflist.bridge(config)
            subnets = tuple(c["Subnet"] for c in network.ipam.get("Config") or () if c.get("Subnet"))
            if bridge or config["plugins"][0]["type"] == "ptp":
                guarded.append(bridges.Guarded(bridge, subnets, network.internal))
        bridges.guard(self._table, guarded)

    async def _all(self, works: Any) -> None:
        """A few at a time; what fails is told and stops nothing else."""
        gate = asyncio.Semaphore(_PARALLEL)

        async def one(work: Callable[[], Awaitable[None]]) -> None:
            async with gate:
                try:
                    await work()
                except MobyError as error:
                    self.log.error("network/%s: %s", self.context.id, error.message)

        await asyncio.gather(*(one(work) for work in works))

    async def _mend(self, endpoint: Endpoint) -> None:
        async with self._busy[endpoint.request.container_id]:
            await self._attaching.mend(endpoint, self._config(endpoint.request))

    async def _collect(self, network_id: str, endpoints: Sequence[Endpoint]) -> None:
        _network, config = self._networks[network_id]
        if not chain.older(config["cniVersion"], "1.1.0"):
            requests = [e.request for e in endpoints if e.request.network_id == network_id]
            valid = [(request.container_id, request.interface) for request in requests]
            await chain.collect(self._plugins, config, valid)
