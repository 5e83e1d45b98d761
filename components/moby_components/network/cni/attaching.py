"""One container and one network: join, leave, mend, clear - always with a note of what was added."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from moby_components.network.cni import chain, drivers, results, sandbox
from moby_components.network.cni.notes import Note, Notes
from moby_components.network.cni.plugin import Place, Plugins
from moby_components.network.cni.relays import Relays
from moby_py import Dirs
from moby_py.errors import MobyError, RuntimeFailed
from moby_py.model import Attachment, AttachRequest, Endpoint, PortBinding


class Attaching:
    """No two calls for one container at the same time: the caller sees to that (CNI 1.0, section 2)."""

    def __init__(
        self, plugins: Plugins, notes: Notes, ports: Relays, dirs: Dirs, log: logging.Logger
    ) -> None:
        self._plugins = plugins
        self.notes = notes
        self._ports = ports
        self._dirs = dirs
        self._log = log

    async def join(self, request: AttachRequest, config: Mapping[str, Any]) -> Attachment:
        """ADD, unless it was done before and is still there. A failed one leaves nothing behind."""
        old = self.notes.load(request.container_id, request.network_id)
        if old is not None:
            if old.done and old.result is not None and await self._stands(old, request.sandbox.path):
                ports = _ports_of(old.config)
                self._keep(old, ports)
                attachment = results.attachment(request, old.result, ports)
                await self._ports.carry(_key(old), _target(attachment))
                return attachment
            await self.clear(old)
        return await self._add(request, config)

    async def leave(self, container_id: str, network_id: str) -> None:
        """DEL with what it was added with. Where no note is, nothing was added."""
        note = self.notes.load(container_id, network_id)
        if note is None:
            await self._ports.drop(_owner(container_id, network_id))
        else:
            await self.clear(note)

    async def mend(self, endpoint: Endpoint, config: Mapping[str, Any]) -> None:
        """After a start of the daemon: take the ports up again, CHECK, and DEL and ADD what fails it."""
        request, attachment = endpoint.request, endpoint.attachment
        if not sandbox.is_namespace(request.sandbox.path):
            return  # it does not run; attach is called anew when it does
        request = replace(request, ports=attachment.ports)
        note = self.notes.load(request.container_id, request.network_id)
        if note is not None and note.done and note.result is not None:
            self._keep(note, _ports_of(note.config))
            await self._ports.carry(_key(note), _target(attachment))
            try:
                # A stack of its own has taken addresses and routes out of the sandbox, and would never
                # see an interface that is made anew: only the host's rules can be mended.
                await chain.mend(
                    self._plugins, note.config, note.place, note.result, rules_only=request.own_stack
                )
            except MobyError as error:
                self._log.warning("%s - its place on the network is made anew", error.message)
            else:
                return
        if note is not None:
            await self.clear(note)
        await self._add(request, config)

    async def clear(self, note: Note) -> None:
        """DEL, as far as the plugins can: with the sandbox, a stand-in for one that is gone, or none.
        A note stays where a plugin fails, for the next start to try again. Raises MobyError."""
        await self.notes.settled(note)
        await self._ports.drop(_key(note))
        async with self._place(note) as place:
            try:
                await chain.delete(self._plugins, note.config, place, note.result)
            except MobyError as error:
                # Once more: the bridge plugin fails where its masquerading chain is gone (a reload of the
                # host's firewall, a reboot), but has taken the interface down, and then is content.
                again = place if place == note.place else replace(place, netns="")
                try:
                    await chain.delete(self._plugins, note.config, again, note.result)
                except MobyError:
                    raise error from None
        self.notes.remove(note.container_id, note.network_id)

    async def forget_network(self, network_id: str) -> None:
        """Whatever is noted for a network that goes."""
        for note in self.notes.all():
            if note.network_id == network_id:
                await self.clear(note)

    # -- parts ---------------------------------------------------------------------------------------

    async def _add(self, request: AttachRequest, config: Mapping[str, Any]) -> Attachment:
        key = _owner(request.container_id, request.network_id)
        ports = await self._take_ports(request)
        try:
            prepared = results.configured(config, request, ports, self._dirs.state, self._dirs.run)
        except BaseException:
            await self._ports.drop(key)
            raise
        note = Note(
            container_id=request.container_id,
            network_id=request.network_id,
            netns=request.sandbox.path,
            interface=request.interface,
            config=prepared,
        )

        def progress(result: dict[str, Any]) -> None:
            nonlocal note
            results.attachment(request, result)  # one that is none would spoil DEL for the others
            note = replace(note, result=result)
            self.notes.save(note)

        try:
            with self.notes.begun(note) as lock:
                await self._furnish(request)
                result = await chain.add(self._plugins, prepared, note.place, lock, progress)
                attachment = results.attachment(request, result, ports)
                if request.default_route and request.network.addressing == "engine":
                    await self._route(request, attachment)
                self.notes.save(replace(note, done=True))
                await self._ports.carry(key, _target(attachment))
        except BaseException:
            await asyncio.shield(self._undo(note))
            raise
        return attachment

    async def _take_ports(self, request: AttachRequest) -> tuple[PortBinding, ...]:
        if request.network.internal or not request.ports:
            return ()
        addresses = [ip.partition("/")[0] for ip in (request.ipv4, request.ipv6) if ip]
        if request.network.addressing != "engine":  # known only after ADD
            addresses = ["0.0.0.0", *(["::"] if request.network.ipv6 else [])]  # noqa: S104
        return await self._ports.take(
            _owner(request.container_id, request.network_id),
            request.ports,
            addresses=addresses,
            host_ip=drivers.host_binding(request.network),
        )

    def _keep(self, note: Note, ports: Sequence[PortBinding]) -> None:
        for lost in self._ports.keep(_key(note), ports):
            self._log.warning(
                "network %s: cannot hold a published port again - %s", note.config["name"], lost
            )

    async def _undo(self, note: Note) -> None:
        """The specification has every plugin of the list asked, those not called before too."""
        try:
            await self.clear(note)
        except MobyError as error:
            self._log.warning("%s (while taking back a failed attach)", error.message)

    async def _furnish(self, request: AttachRequest) -> None:
        try:
            await asyncio.to_thread(sandbox.prepare, request.sandbox.path, ipv6=bool(request.ipv6))
        except OSError as error:
            raise RuntimeFailed(
                f"network {request.network.name}: cannot enter the sandbox {request.sandbox.path} - "
                f"{(error.strerror or str(error)).lower()}"
            ) from error

    async def _route(self, request: AttachRequest, attachment: Attachment) -> None:
        gateways = sandbox.gateways_of(request.gateway4, request.gateway6, attachment.ipv4, attachment.ipv6)
        try:
            await asyncio.to_thread(sandbox.route_default, request.sandbox.path, request.interface, gateways)
        except OSError as error:
            raise RuntimeFailed(
                f"network {request.network.name}: no default route by {' and '.join(gateways)} - "
                f"{(error.strerror or str(error)).lower()}"
            ) from error

    async def _stands(self, note: Note, netns: str) -> bool:
        if netns != note.netns or not sandbox.is_namespace(netns):
            return False
        return await asyncio.to_thread(sandbox.has_interface, netns, note.interface, _mac_of(note))

    @contextlib.asynccontextmanager
    async def _place(self, note: Note) -> AsyncIterator[Place]:
        if note.result is None:
            netns = note.netns if sandbox.is_namespace(note.netns) else ""
            yield replace_netns(note, netns)
        elif await self._stands(note, note.netns):
            with contextlib.suppress(OSError):
                addresses = results.addresses_of(note.result)
                await asyncio.to_thread(sandbox.restore, note.netns, note.interface, addresses)
            yield note.place
        else:
            path = self._dirs.run / f"gone-{note.container_id[:12]}-{note.network_id[:12]}"
            addresses = results.addresses_of(note.result)
            with sandbox.stand_in(path, note.interface, addresses) as netns:
                yield replace_netns(note, netns)


def replace_netns(note: Note, netns: str) -> Place:
    return replace(note.place, netns=netns)


def _key(note: Note) -> str:
    return _owner(note.container_id, note.network_id)


def _owner(container_id: str, network_id: str) -> str:
    return f"{container_id} {network_id}"


def _target(attachment: Attachment) -> str:
    """Where a relayed connection goes."""
    return (attachment.ipv4 or attachment.ipv6).partition("/")[0]


def _mac_of(note: Note) -> str:
    for interface in (note.result or {}).get("interfaces") or []:
        if interface.get("sandbox") and interface.get("name") == note.interface:
            return str(interface.get("mac", ""))
    return ""


def _ports_of(config: Mapping[str, Any]) -> Sequence[PortBinding]:
    """The ports as they were published: they are in the configuration that portmap got."""
    for plugin in config["plugins"]:
        found = (plugin.get("runtimeConfig") or {}).get("portMappings")
        if found:
            return [
                PortBinding(
                    container_port=one["containerPort"],
                    protocol=one["protocol"],
                    host_ip=one["hostIP"],
                    host_port=one["hostPort"],
                )
                for one in found
            ]
    return ()
