"""Docker's network plugins as a network component."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from moby_components.common import predefined
from moby_components.network.remote import discovery, pools, words
from moby_components.network.remote.client import Client
from moby_components.network.remote.endpoints import attached, connect, disconnect
from moby_components.network.remote.records import Records
from moby_py.component import Context
from moby_py.errors import MobyError, NotFound, RuntimeFailed, Unavailable
from moby_py.kinds import Network
from moby_py.model import Attachment, AttachRequest, Endpoint, NetworkRecord
from moby_py.needs import Feature, Need

_OWN_IPAM = ("", "default")


class Remote(Network):
    """Driver words are the names of plugins, found when they are asked for. Node discovery
    (DiscoverNew, DiscoverDelete) tells plugins of a swarm's nodes: a platform is one node, so they are
    never called, as by a dockerd without a swarm.
    """

    name: ClassVar[str] = "remote"
    summary: ClassVar[str] = "networks of Docker's network plugins (libnetwork remote drivers)"
    needs: ClassVar[tuple[Need, ...]] = (Feature("root", why="it moves interfaces into containers"),)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        own = context.dirs.run / "plugins"
        own.mkdir(mode=0o700, exist_ok=True)
        further = [Path(folder) for folder in self.options.get("plugin_dirs") or ()]
        self._folders = (own, *further, *discovery.DOCKERS)
        self._networks = Records(context.dirs.state / "networks")
        self._endpoints = Records(context.dirs.state / "endpoints")
        self._clients: dict[str, Client] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def _alone(self, id: str) -> asyncio.Lock:
        """One piece of work at a time for each network and each endpoint."""
        lock = self._locks.get(id)
        if lock is None:
            lock = self._locks[id] = asyncio.Lock()
        return lock

    def takes(self, driver: str) -> bool:
        """A plugin's name: there now, or the driver of a network that was made with it."""
        if discovery.find(driver, self._folders) is not None:
            return True
        return any(record.get("driver") == driver for record in self._networks.all().values())

    def predefined(self) -> Sequence[NetworkRecord]:
        return predefined.records("none", "host")

    def _client(self, name: str) -> Client:
        """The plugin of that name, wherever it is now. Raises NotFound in Docker's words."""
        plugin = discovery.find(name, self._folders)
        if plugin is None:
            raise NotFound(
                f'plugin "{name}" not found',
                hint=f"start it; plugins are looked for in {', '.join(map(str, self._folders))}",
            )
        known = self._clients.get(name)
        if known is None or known.plugin != plugin:
            known = self._clients[name] = Client(plugin, self.options.get("timeout", 30))
        return known

    def _ipam(self, name: str) -> Client | None:
        return None if name in _OWN_IPAM or name == "null" else self._client(name)

    async def plan(self, draft: NetworkRecord) -> NetworkRecord:
        await self._client(draft.driver).require("NetworkDriver")
        ipam = str(draft.ipam.get("Driver") or "")
        addressing = "engine" if ipam in _OWN_IPAM else "component"
        client = self._ipam(ipam)
        if client is not None:
            await client.require("IpamDriver")
        return replace(draft, sandbox="private", addressing=addressing, names="engine")

    async def create(self, network: NetworkRecord) -> NetworkRecord:
        if network.sandbox != "private":
            return network
        async with self._alone(network.id):
            record = self._networks.get(network.id)
            if record is None:
                record = await self._make(network)
            else:
                with contextlib.suppress(NotFound, Unavailable):  # told at the first container
                    await self._remind(network, record)
            given = record["pools"]
        return replace(network, ipam=pools.described(network.ipam, given)) if given else network

    async def _make(self, network: NetworkRecord) -> dict[str, Any]:
        client = self._client(network.driver)
        await self._scope(client)
        name = str(network.ipam.get("Driver") or "")
        ipam = self._ipam(name)
        given = await pools.request(ipam, network.ipam, ipv6=network.ipv6) if ipam else []
        described = replace(network, ipam=pools.described(network.ipam, given)) if given else network
        record = {"driver": network.driver, "ipam": name, "pools": given, "boot": _boot()}
        try:
            await client.call("NetworkDriver.CreateNetwork", words.create_network(described))
            self._networks.put(network.id, record)
        except BaseException:
            if ipam:
                with contextlib.suppress(MobyError):
                    await pools.release(ipam, given)
            raise
        return record

    async def _scope(self, client: Client) -> None:
        method = "NetworkDriver.GetCapabilities"
        (scope,) = client.text(method, await client.call(method), "Scope")
        if scope not in ("local", "global"):
            raise RuntimeFailed(f"invalid capability: expecting 'local' or 'global', got {scope[:50]}")

    async def _remind(self, network: NetworkRecord, record: dict[str, Any]) -> None:
        """After a reboot the driver is told of the network again: one that remembers says that it
        exists, which is as good; one that does not makes it anew."""
        if record["boot"] == _boot():
            return
        client = self._client(network.driver)
        described = (
            replace(network, ipam=pools.described(network.ipam, record["pools"]))
            if record["pools"]
            else network
        )
        try:
            await client.call("NetworkDriver.CreateNetwork", words.create_network(described))
        except RuntimeFailed as error:
            self.log.info("network %s: %s", network.name, error)
        self._networks.put(network.id, {**record, "boot": _boot()})

    async def remove(self, network: NetworkRecord) -> None:
        async with self._alone(network.id):
            record = self._networks.get(network.id)
            if record is None:
                return
            await self._settle(record["driver"])
            client = self._client(record["driver"])
            try:
                await client.call("NetworkDriver.DeleteNetwork", {"NetworkID": network.id})
            except RuntimeFailed as error:
                self.log.info("network %s: %s", network.name, error)
            if record["pools"]:
                ipam = self._ipam(record["ipam"])
                if ipam is not None:
                    await pools.release(ipam, record["pools"])
            self._networks.drop(network.id)

    async def attach(self, request: AttachRequest) -> Attachment:
        if request.network.sandbox != "private":
            return predefined.idle(request)
        id = request.endpoint_id
        async with self._alone(id):
            left = self._endpoints.get(id)
            if left is not None:
                known = await asyncio.to_thread(attached, left)
                if known is not None:
                    return known
                await self._undo(id, left)
            client = self._client(request.network.driver)
            async with self._alone(request.network_id):
                network = self._networks.get(request.network_id)
                if network is None:
                    network = await self._make(request.network)
                await self._remind(request.network, network)
            await self._settle(request.network.driver)
            try:
                return await connect(client, self._ipam(network["ipam"]), request, network, self._endpoints)
            except BaseException:
                made = self._endpoints.get(id)
                if made is not None:
                    await self._undo(id, made)
                raise

    async def detach(self, request: AttachRequest, attachment: Attachment | None) -> None:
        async with self._alone(request.endpoint_id):
            record = self._endpoints.get(request.endpoint_id)
            if record is not None:
                await self._undo(request.endpoint_id, record)

    async def _undo(self, id: str, record: dict[str, Any]) -> bool:
        client = ipam = None
        with contextlib.suppress(NotFound):
            client = self._client(record["driver"])
            ipam = self._ipam(record["ipam"])
        done = await disconnect(client, ipam, id, record, self._endpoints, self.log)
        if not done:
            self._endpoints.put(id, {**record, "gone": True, "attachment": None})
        return done

    async def _settle(self, driver: str) -> None:
        """Tell a plugin what it could not be told when it was down."""
        for id, record in self._endpoints.all().items():
            if record.get("gone") and record["driver"] == driver:
                await self._undo(id, record)

    async def recover(self, endpoints: Sequence[Endpoint]) -> None:
        live = {e.request.endpoint_id: e.request for e in endpoints if e.request.network.sandbox == "private"}
        for id, record in self._endpoints.all().items():
            if id not in live:
                try:
                    await self._undo(id, record)
                except MobyError as error:
                    self.log.error("endpoint %s: %s", id[:12], error)
        for request in live.values():
            if Path(request.sandbox.path).exists():
                try:
                    await self.attach(request)
                except MobyError as error:
                    self.log.error("network of %s: %s", request.container_id[:12], error)


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
