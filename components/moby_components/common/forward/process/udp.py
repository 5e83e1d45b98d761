"""Published UDP ports: each client gets a socket of its own towards the container."""

from __future__ import annotations

import contextlib
import socket
from collections import OrderedDict
from typing import Any

from .loop import IN, Loop, Timer
from .worlds import World, Worlds

LARGEST, DATAGRAMS = 65535, 64
RECEIVE_BUFFER = 1 << 20
MOST_FLOWS = 1024
"""Of one port. The one that has been silent for longest makes room for a new one."""
IPV6_RECVPKTINFO, IPV6_PKTINFO, IP_PKTINFO = 49, 50, 8  # ipv6(7), ip(7); Python 3.11 lacks the last

Ancillary = tuple[tuple[int, int, bytes], ...]
Key = tuple[Any, Ancillary]
"""The client's address, and the one of ours that it asked."""


class Flow:
    """One client of one port."""

    __slots__ = ("key", "last", "port", "sock")

    def __init__(self, port: UdpPort, sock: socket.socket, key: Key, now: float) -> None:
        self.port, self.sock, self.key, self.last = port, sock, key, now

    def send(self, data: bytes) -> None:
        """To the container. What cannot be sent is lost, as UDP is; an error that an earlier datagram
        earned is taken note of and the datagram sent again."""
        for _ in range(2):
            try:
                self.sock.send(data)
                return
            except BlockingIOError:
                return
            except OSError:
                continue

    def ready(self, _: int) -> None:
        for _round in range(DATAGRAMS):
            try:
                data = self.sock.recv(LARGEST)
            except BlockingIOError:
                return
            except OSError:  # nobody listens there (yet): ICMP said so
                continue
            self.port.answer(self, data)


class UdpPort:
    """The published socket and its flows, the least recently used first."""

    def __init__(
        self,
        loop: Loop,
        worlds: Worlds,
        world: World,
        sock: socket.socket,
        target: tuple[str, int],
        idle: float,
    ) -> None:
        self._loop, self._worlds, self._world, self._target = loop, worlds, world, target
        self._sock, self._idle = sock, idle
        self._family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        self._flows: OrderedDict[Key, Flow] = OrderedDict()
        self._timer: Timer | None = None
        with contextlib.suppress(OSError):  # up to net.core.rmem_max
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        # A host with several addresses must answer from the one that was asked.
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        loop.watch(sock, IN, self._ready)

    @property
    def flows(self) -> int:
        return len(self._flows)

    def close(self) -> None:
        self._loop.close_now(self._sock)
        for flow in self._flows.values():
            self._loop.close(flow.sock)
        self._flows.clear()
        if self._timer:
            self._timer.cancel()

    def answer(self, flow: Flow, data: bytes) -> None:
        """From the container back to the client."""
        self._touch(flow)
        with contextlib.suppress(OSError):
            self._sock.sendmsg([data], flow.key[1], 0, flow.key[0])

    def _ready(self, _: int) -> None:
        for _round in range(DATAGRAMS):
            try:
                data, ancillary, _flags, client = self._sock.recvmsg(LARGEST, 128)
            except BlockingIOError:
                return
            except OSError:
                continue
            key = client, _source(ancillary)
            flow = self._flows.get(key) or self._begin(key)
            if flow is not None:
                self._touch(flow)
                flow.send(data)

    def _begin(self, key: Key) -> Flow | None:
        if len(self._flows) >= MOST_FLOWS:
            self._drop(next(iter(self._flows)))
        try:
            sock = self._worlds.socket(self._world, self._family, socket.SOCK_DGRAM)
        except OSError:
            if not self._flows:
                return None
            self._drop(next(iter(self._flows)))  # no descriptors: its place is free after this round
            return None
        try:
            sock.connect(self._target)
        except OSError:
            sock.close()
            return None
        flow = Flow(self, sock, key, self._loop.now)
        self._flows[key] = flow
        self._loop.watch(sock, IN, flow.ready)
        if self._timer is None:
            self._timer = self._loop.later(self._idle, self._expire)
        return flow

    def _touch(self, flow: Flow) -> None:
        flow.last = self._loop.now
        self._flows.move_to_end(flow.key)

    def _drop(self, key: Key) -> None:
        self._loop.close(self._flows.pop(key).sock)

    def _expire(self) -> None:
        self._timer = None
        while self._flows:
            key, oldest = next(iter(self._flows.items()))
            left = oldest.last + self._idle - self._loop.now
            if left > 0:
                self._timer = self._loop.later(left, self._expire)
                return
            self._drop(key)


def _source(ancillary: list[Any]) -> Ancillary:
    """What makes sendmsg(2) answer from the address that was asked: no interface is forced."""
    for level, type, data in ancillary:
        if (level, type) == (socket.IPPROTO_IP, IP_PKTINFO):  # ifindex, spec_dst, addr
            return ((level, type, b"\0\0\0\0" + data[4:8] + b"\0\0\0\0"),)
        if (level, type) == (socket.IPPROTO_IPV6, IPV6_PKTINFO):  # addr, ifindex
            local = data[:2] == b"\xfe\x80"  # of one link only: there the interface is part of it
            return ((level, type, data if local else data[:16] + b"\0\0\0\0"),)
    return ()
