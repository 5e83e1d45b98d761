"""Podman's netavark as a network component."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from moby_components.common import links, predefined
from moby_components.common.bridging import names
from moby_components.common.netns import in_netns
from moby_components.network.netavark import probe, rules, sandbox, words
from moby_components.network.netavark.aardvark import Aardvark
from moby_components.network.netavark.command import Command
from moby_components.network.netavark.journal import Entry, Journal
from moby_components.network.netavark.ports import Ports
from moby_py.component import Context
from moby_py.errors import MobyError, RuntimeFailed
from moby_py.kinds import Network
from moby_py.model import Attachment, AttachRequest, Endpoint, NetworkRecord, PortBinding
from moby_py.needs import Binary, Feature, Need

Key = tuple[str, str]


class Netavark(Network):
    """netavark makes a bridge with its first container and removes it with the last, as in Podman.

    It cannot: publish on [::1], switch traffic inside a network or masquerading off, tell 0.0.0.0
    from [::] for a container that has addresses of both families, and (1.4) filter what reaches an
    `internal` network from others - such a network has no route out, so nothing answers.
    """

    name: ClassVar[str] = "netavark"
    summary: ClassVar[str] = "Podman's netavark and aardvark-dns: bridge and macvlan networks, names, ports"
    drivers: ClassVar[tuple[str, ...]] = ("bridge", "netavark", "macvlan")

    @classmethod
    def needs_for(cls, options: Mapping[str, Any]) -> tuple[Need, ...]:
        return (
            Binary("netavark", package="netavark", path=options.get("netavark", "/usr/lib/podman/netavark")),
            Binary(
                "aardvark-dns",
                package="aardvark-dns",
                path=options.get("aardvark", "/usr/lib/podman/aardvark-dns"),
            ),
            Binary("iptables", package="iptables"),
            Feature("root", why="netavark makes bridges and iptables rules"),
        )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._run = context.dirs.run
        self._platform = context.platform.name
        self._table = names.table(self._platform, context.id)
        self._iptables = context.binaries.get("iptables", Path("/usr/sbin/iptables"))
        aardvark = context.binaries.get("aardvark-dns", Path("/usr/lib/podman/aardvark-dns"))
        program = context.binaries.get("netavark", Path("/usr/lib/podman/netavark"))
        self._command = Command(program, aardvark, self._iptables, self._run)
        self._journal = Journal(self._run / "endpoints")
        self._aardvark = Aardvark(aardvark, self._run, self._journal.entries, self._command.alone, self.log)
        self._ports = Ports()
        self._attached: dict[Key, Attachment] = {}
        self._refusing = False

    async def open(self) -> None:
        sandbox.clear(self._run)
        self._aardvark.watch()

    async def close(self) -> None:
        if not self._journal.entries():
            await self._aardvark.stop()
            async with self._command.alone():
                await rules.remove_shared(self._iptables)
                await asyncio.to_thread(rules.remove_guard, self._table)
        self._aardvark.unwatch()
        self._ports.close()
        self._attached.clear()

    def predefined(self) -> Sequence[NetworkRecord]:
        return [words.default_network(self.options), *predefined.records("host", "none")]

    async def plan(self, draft: NetworkRecord) -> NetworkRecord:
        return words.planned(draft, names=self.options.get("names", "aardvark"))

    async def create(self, network: NetworkRecord) -> NetworkRecord:
        return network

    async def remove(self, network: NetworkRecord) -> None:
        if network.sandbox != "private":
            return
        async with self._command.alone():
            entries = self._journal.entries()
            for entry in entries:
                if entry.network_id == network.id:
                    await self._teardown(entry)
            bridge = words.bridge_name(self._platform, network)
            if bridge.startswith("nv-"):
                await asyncio.to_thread(links.delete, bridge)
            if all(entry.network_id == network.id for entry in entries):
                await rules.remove_shared(self._iptables)
                await asyncio.to_thread(rules.remove_guard, self._table)
                self._refusing = False

    async def attach(self, request: AttachRequest) -> Attachment:
        key = (request.container_id, request.network_id)
        if request.network.sandbox != "private":
            return predefined.idle(request)
        async with self._command.alone():
            known = self._attached.get(key)
            if known is not None and await asyncio.to_thread(
                sandbox.has_interface, request.sandbox.path, request.interface
            ):
                return known
            left = self._journal.read(*key)
            if left is not None:  # of an attach that a crash cut short
                await self._teardown(left)
            ports = self._ports.take(key, words.published(request))
            try:
                attachment = await self._setup(request, ports)
            except BaseException:
                self._ports.release(key)
                raise
            self._attached[key] = attachment
        if attachment.dns:
            await self._await_name(request, attachment.dns[0])
        return attachment

    async def _await_name(self, request: AttachRequest, server: str) -> None:
        if not all(0 < len(label) < 64 for label in request.container_name.split(".")):
            return  # no name that a question can hold
        asked = partial(probe.served, server, request.container_name, ipv6=not request.ipv4)
        with contextlib.suppress(OSError):  # the sandbox is gone already
            if not await in_netns(request.sandbox.path, asked):
                self.log.warning("aardvark-dns does not serve the name %s yet", request.container_name)

    async def _setup(self, request: AttachRequest, ports: tuple[PortBinding, ...]) -> Attachment:
        entry = self._entry(request, ports)
        self._journal.write(entry)
        self._aardvark.pid()  # clears a pid file that lies
        try:
            answer = await self._command.setup(entry.sandbox, entry.input)
            status = answer.get(entry.network_id)
            if not isinstance(status, dict) or request.interface not in (status.get("interfaces") or {}):
                raise RuntimeFailed(
                    "netavark could not connect the container - its answer names no interface"
                )
            gateways = (request.gateway4, request.gateway6) if request.default_route else ()
            wanted = tuple(gateway for gateway in gateways if gateway)
            if entry.bridge:
                await asyncio.to_thread(rules.guard_loopback, self._table)
                await rules.let_published_pass(self._iptables, ipv6=bool(request.ipv6))
            if ports and request.ipv6 and not self._refusing:
                await rules.refuse_loopback(self._iptables)
                self._refusing = True
            if ports and entry.bridge:
                await asyncio.to_thread(links.reflect_newest, entry.bridge)
            await in_netns(entry.sandbox, lambda: links.set_default_routes(request.interface, wanted))
        except BaseException as error:
            with contextlib.suppress(MobyError, OSError):
                await self._teardown(entry)
            if isinstance(error, OSError):
                raise RuntimeFailed(f"cannot furnish the container's network - {error.strerror}") from error
            raise
        self._aardvark.watch()
        return Attachment(
            container_id=request.container_id,
            network_id=request.network_id,
            endpoint_id=request.endpoint_id,
            interface=request.interface,
            mac=str(status["interfaces"][request.interface].get("mac_address") or request.mac),
            ipv4=request.ipv4,
            ipv6=request.ipv6,
            gateway4=request.gateway4,
            gateway6=request.gateway6,
            dns=tuple(map(str, status.get("dns_server_ips") or ())) if entry.named else (),
            ports=ports,
        )

    def _entry(self, request: AttachRequest, ports: Sequence[PortBinding]) -> Entry:
        body = words.setup_input(request, ports, self._platform, self.options.get("mtu"))
        return Entry(request.container_id, request.network_id, request.sandbox.path, body)

    async def detach(self, request: AttachRequest, attachment: Attachment | None) -> None:
        key = (request.container_id, request.network_id)
        if request.network.sandbox != "private":
            return
        async with self._command.alone():
            entry = self._journal.read(*key)
            if entry is None and attachment is not None:
                entry = self._entry(request, attachment.ports)
            if entry is not None:
                await self._teardown(entry)
            self._ports.release(key)

    async def _teardown(self, entry: Entry) -> None:
        self._attached.pop((entry.container_id, entry.network_id), None)
        self._aardvark.pid()
        async with sandbox.for_teardown(entry.sandbox, entry.interface, self._run) as path:
            await self._command.teardown(path, entry.input)
        self._journal.remove(entry.container_id, entry.network_id)

    async def recover(self, endpoints: Sequence[Endpoint]) -> None:
        live = {(e.request.container_id, e.request.network_id): e for e in endpoints}
        async with self._command.alone():
            for entry in self._journal.entries():
                if (entry.container_id, entry.network_id) not in live:
                    await self._contained(self._teardown(entry), f"endpoint of {entry.container_id[:12]}")
        for key, endpoint in live.items():
            if endpoint.request.network.sandbox == "private":
                await self._contained(self._take_up(key, endpoint), f"network of {key[0][:12]}")
        async with self._command.alone():
            await self._contained(self._aardvark.mend(), "aardvark-dns")

    async def _take_up(self, key: Key, endpoint: Endpoint) -> None:
        request = replace(endpoint.request, ports=endpoint.attachment.ports)
        present = await asyncio.to_thread(sandbox.has_interface, request.sandbox.path, request.interface)
        if not present:
            if Path(request.sandbox.path).exists():
                await self.attach(request)
            return
        if self._journal.read(*key) is None:
            self._journal.write(self._entry(request, words.published(request)))
        self._attached[key] = endpoint.attachment
        self._ports.take(key, words.published(request))

    async def _contained(self, work: Any, what: str) -> None:
        """One endpoint that cannot be mended must not keep the platform from coming up."""
        try:
            await work
        except (MobyError, OSError) as error:
            self.log.error("%s: %s", what, error)
