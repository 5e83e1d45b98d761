"""What the process knows and holds open: names, askers, doors. The five things that the daemon may
ask for are methods here; `handle` is what a door does with a query."""

from __future__ import annotations

import errno
import os
import socket

from moby_components.common.dns.process import wire
from moby_components.common.dns.process.answer import answer
from moby_components.common.dns.process.asker import MOST_FORWARDS, Asker
from moby_components.common.dns.process.door import Door
from moby_components.common.dns.process.forward import Forward
from moby_components.common.dns.process.names import Names
from moby_components.common.dns.process.natrule import ADDRESS, redirect
from moby_components.common.dns.process.spaces import (
    bound,
    identity,
    inside,
    loopback_up,
    open_space,
    share_out,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from moby_components.common.dns.process.loop import Loop
    from moby_components.common.dns.process.upstream import Host

MOST_OUTSTANDING = 2048
FEW = 8
"""Forwarded queries of all containers together; beyond, one still has its first few, so that sixteen
flooding containers do not keep a seventeenth from asking."""
QUEUES = 64
"""UDP sockets of one gateway: so many neighbours have a receive queue each."""


class Spare:
    """A descriptor to give away when there are none left, so that a connection that cannot be served
    is taken and closed instead of waking us for ever."""

    def __init__(self) -> None:
        self._fd = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)

    def out_of_descriptors(self, listener: socket.socket, error: OSError) -> None:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            return
        os.close(self._fd)
        try:
            listener.accept()[0].close()
        except OSError:
            pass
        self._fd = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)


class Gateway:
    """A door that several askers share: known by their source addresses."""

    __slots__ = ("askers", "door")

    def __init__(self) -> None:
        self.door: Door | None = None
        self.askers: dict[str, Asker] = {}


class Server:
    def __init__(self, loop: Loop, say: Callable[[str], None], host: Host) -> None:
        self.loop = loop
        self.host = host
        self.names = Names()
        self.askers: dict[str, Asker] = {}
        self.gateways: dict[tuple[str, str], Gateway] = {}
        self.outstanding = 0
        self.spare = Spare()
        self.lingering: list[socket.socket] = []
        self._say = say

    def handle(
        self, asker: Asker, data: bytes, reply: Callable[[bytes], None], *, tcp: bool = False
    ) -> bytes | None:
        """The answer to send now, b"" for none at all, or None: `reply` is called with it later (or
        during this call)."""
        found = answer(self.names, asker.visible, data, tcp=tcp)
        if found is None:
            return b""
        if isinstance(found, bytes):
            return found
        under_way = len(asker.forwards)
        if under_way >= MOST_FORWARDS or (self.outstanding >= MOST_OUTSTANDING and under_way >= FEW):
            return wire.fail(data, wire.REFUSED, found)
        Forward(self, asker, data, found, reply, tcp=tcp).start()
        return None

    def name(self, named: Mapping[str, Any]) -> None:
        self.names.name(named)

    def tidy(self) -> None:
        """Close what is slow to close: after a request, and after all of a `sync`."""
        while self.lingering:
            self.lingering.pop().close()

    def unname(self, container: str, network: str) -> None:
        self.names.unname(container, network)

    def serve(self, wanted: Mapping[str, Any]) -> None:
        """Answer this one from now on. What it has already stays open where it is still right. `ports`
        are those that a process before us had: the kernel goes on sending there what comes from a socket
        that has asked it. Raises OSError with nothing changed for one that was not served before."""
        old = self.askers.get(wanted["id"])
        if wanted["sandbox"]:
            space = open_space(wanted["sandbox"])
            try:
                this = identity(space)
                if old is not None and old.door is not None and old.identity == this:
                    old.update(wanted)
                    return
                ports = wanted.get("ports") or (0, 0)
                udp, tcp = inside(space, lambda: self._loopback_sockets(*ports))
            finally:
                os.close(space)
            asker = Asker(wanted)
            asker.identity = this
            self.dismiss(wanted["id"])
            asker.door = Door(self, (udp,), tcp, lambda _source: asker)
            self.askers[wanted["id"]] = asker
            return
        if old is not None and old.wanted == wanted:
            return
        opened = {key: self._gateway(*key) for key in self._keys(wanted)}
        self.dismiss(wanted["id"], keep=set(opened))
        asker = Asker(wanted)
        self.askers[wanted["id"]] = asker
        for gateway in opened.values():
            for address in wanted["addresses"]:
                gateway.askers[_canonical(address)] = asker

    def dismiss(self, id: str, keep: Iterable[tuple[str, str]] = ()) -> None:
        """Answer this one no more. Idempotent. A gateway that nobody is left for is closed."""
        asker = self.askers.pop(id, None)
        if asker is None:
            return
        for forward in tuple(asker.forwards):
            forward.drop()
        if asker.door is not None:
            asker.door.close()
            return
        for key in self._keys(asker.wanted):
            gateway = self.gateways.get(key)
            if gateway is None or gateway.door is None:
                continue
            gateway.door.close_of(asker)
            for address in [one for one, who in gateway.askers.items() if who is asker]:
                del gateway.askers[address]
            if not gateway.askers and key not in keep:
                gateway.door.close()
                del self.gateways[key]

    def sync(
        self, named: Iterable[Mapping[str, Any]], clients: Iterable[Mapping[str, Any]]
    ) -> dict[str, str]:
        """Everything at once: what is not in it goes. Returns what failed, by container."""
        failed: dict[str, str] = {}
        self.names.clear()
        for one in named:
            try:
                self.names.name(one)
            except OSError as error:
                failed[one["container"]] = _words(error)
        wanted = {client["id"]: client for client in clients}
        for id in [id for id in self.askers if id not in wanted]:
            self.dismiss(id)
        for id, client in wanted.items():
            try:
                self.serve(client)
            except OSError as error:
                failed[id] = _words(error)
        return failed

    def _loopback_sockets(self, udp_port: int, tcp_port: int) -> tuple[socket.socket, socket.socket]:
        """Runs inside the sandbox."""
        loopback_up()
        try:
            udp, tcp = self._pair(ADDRESS, udp_port, tcp_port)
        except OSError:  # somebody in there has taken them meanwhile
            udp, tcp = self._pair(ADDRESS, 0, 0)
        try:
            self.lingering.append(redirect(udp.getsockname()[1], tcp.getsockname()[1]))
        except OSError as error:
            udp.close()
            tcp.close()
            # Then nobody else in there can listen on 0.0.0.0:53, which few want to.
            self._say(f"no nftables rule, port 53 itself is taken - {_words(error)}")
            udp, tcp = self._pair(ADDRESS, 53, 53)
        return udp, tcp

    def ports(self, id: str) -> tuple[int, int] | None:
        """(UDP, TCP) of one that is served in its sandbox."""
        asker = self.askers.get(id)
        if asker is None or asker.door is None:
            return None
        return asker.door.udps[0].getsockname()[1], asker.door.tcp.getsockname()[1]

    def _pair(self, address: str, udp_port: int, tcp_port: int) -> tuple[socket.socket, socket.socket]:
        udp = bound(socket.SOCK_DGRAM, address, udp_port)
        try:
            return udp, bound(socket.SOCK_STREAM, address, tcp_port)
        except OSError:
            udp.close()
            raise

    def _group(self, address: str) -> tuple[list[socket.socket], socket.socket]:
        tcp = bound(socket.SOCK_STREAM, address, 53)
        try:
            return share_out(address, 53, QUEUES), tcp
        except OSError:
            tcp.close()
            raise

    def _gateway(self, world: str, address: str) -> Gateway:
        found = self.gateways.get((world, address))
        if found is None:
            space = open_space(world)
            try:
                udps, tcp = inside(space, lambda: self._group(address))
            finally:
                os.close(space)
            found = self.gateways[world, address] = Gateway()
            found.door = Door(self, udps, tcp, found.askers.get)
        return found

    def _keys(self, wanted: Mapping[str, Any]) -> list[tuple[str, str]]:
        return [(wanted["world"], _canonical(address)) for address in wanted["listen"]]


def _canonical(address: str) -> str:
    """As the kernel writes it. Raises OSError for what is no address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.inet_ntop(family, socket.inet_pton(family, address))


def _words(error: OSError) -> str:
    text = (error.strerror or str(error)).lower()
    return f"{text}: {error.filename}" if error.filename else text
