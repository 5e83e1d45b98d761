"""What is published now: one entry per key, opened, compared and closed."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Any

from .loop import Loop
from .pipes import Pipes
from .tcp import Ledger, TcpPort
from .udp import UdpPort
from .worlds import World, Worlds

MOST_PORTS = 16384
FIELDS = ("host_ip", "host_port", "protocol", "address", "port", "world")


class Entry:
    """A published port: what was asked for, and what serves it."""

    __slots__ = ("asked", "bound", "server", "world")

    def __init__(self, asked: tuple[Any, ...], world: World, server: TcpPort | UdpPort, bound: int) -> None:
        self.asked, self.world, self.server, self.bound = asked, world, server, bound

    def serves(self, asked: tuple[Any, ...], world: World) -> bool:
        """Whether it is what is asked for; port 0 is content with any."""
        same = asked[1] in (0, self.bound) and asked[0] == self.asked[0] and asked[2:] == self.asked[2:]
        return same and world is self.world


class Ports:
    """Raises OSError with what the kernel says, ValueError for what cannot be meant."""

    def __init__(self, loop: Loop, worlds: Worlds, ledger: Ledger, *, udp_idle: float) -> None:
        self._loop, self._worlds, self._ledger, self._udp_idle = loop, worlds, ledger, udp_idle
        self._pipes = Pipes()
        self._entries: dict[str, Entry] = {}

    def publish(self, wanted: Mapping[str, Any]) -> int:
        """Returns the host port. Idempotent; a key that served something else serves this from now on."""
        key = str(wanted["key"])
        asked = tuple(wanted[field] for field in FIELDS)
        world = self._worlds.take(str(wanted["world"]))
        try:
            old = self._entries.get(key)
            if old is not None:
                if old.serves(asked, world):
                    self._worlds.give_back(world)
                    return old.bound
                self._close(key)
            if len(self._entries) >= MOST_PORTS:
                raise ValueError(f"more than {MOST_PORTS} published ports")
            entry = self._entries[key] = self._open(asked, world)
        except BaseException:
            self._worlds.give_back(world)
            raise
        return entry.bound

    def withdraw(self, keys: Sequence[str]) -> None:
        """Idempotent. What is connected through these ports is reset."""
        for key in keys:
            if key in self._entries:
                self._close(key)

    def sync(self, wanted: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Serve exactly these. Returns for each key its host port, or the error as `explain` has it.
        What is served already under another key only changes its key: the caller's memory may have
        been lost, connections must not."""
        keys = {str(port["key"]) for port in wanted}
        spare = {
            (e.bound, *e.asked[:1], *e.asked[2:]): key for key, e in self._entries.items() if key not in keys
        }
        for port in wanted:
            same = spare.pop(
                (port["host_port"], port["host_ip"], *(port[field] for field in FIELDS[2:])), None
            )
            if same is not None and str(port["key"]) not in self._entries:
                self._entries[str(port["key"])] = self._entries.pop(same)
        self.withdraw([key for key in self._entries if key not in keys])
        found: dict[str, Any] = {}
        for port in wanted:
            try:
                found[str(port["key"])] = self.publish(port)
            except (OSError, ValueError) as error:
                found[str(port["key"])] = explain(error)
        return found

    def listing(self) -> list[dict[str, Any]]:
        """What is served, for people and tests."""
        return [
            {"key": key, **dict(zip(FIELDS, e.asked, strict=True)), "bound": e.bound, "flows": e.server.flows}
            for key, e in self._entries.items()
        ]

    def _open(self, asked: tuple[Any, ...], world: World) -> Entry:
        host_ip, host_port, protocol, address, port, _ = asked
        if protocol not in ("tcp", "udp"):
            raise ValueError(f"protocol {protocol}")
        target = str(address), int(port)
        sock = self._worlds.at_home(lambda: bind(str(host_ip), int(host_port), protocol))
        bound = int(sock.getsockname()[1])
        try:
            if protocol == "udp":
                udp = UdpPort(self._loop, self._worlds, world, sock, target, self._udp_idle)
                return Entry(asked, world, udp, bound)
            tcp = TcpPort(self._loop, self._worlds, world, sock, target, self._ledger, self._pipes)
            return Entry(asked, world, tcp, bound)
        except BaseException:
            self._loop.forget(sock)
            sock.close()
            raise

    def _close(self, key: str) -> None:
        entry = self._entries.pop(key)
        entry.server.close()
        self._worlds.give_back(entry.world)


def bind(host_ip: str, host_port: int, protocol: str) -> socket.socket:
    """A bound socket, non-blocking. An IPv6 one leaves IPv4 to others, as Docker's does."""
    family = socket.AF_INET6 if ":" in host_ip else socket.AF_INET
    type = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    sock = socket.socket(family, type | socket.SOCK_NONBLOCK)
    try:
        if protocol == "tcp":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        address, _, scope = host_ip.partition("%")
        index = socket.if_nametoindex(scope) if scope else 0
        sock.bind((address, host_port, 0, index) if family == socket.AF_INET6 else (address, host_port))
    except BaseException:
        sock.close()
        raise
    return sock


def explain(error: BaseException) -> dict[str, Any]:
    """An error as it travels: {"errno": N, "error": text}; 0 where it is not the kernel's."""
    code = error.errno if isinstance(error, OSError) and error.errno else 0
    return {"errno": code, "error": (error.strerror if isinstance(error, OSError) else "") or str(error)}
