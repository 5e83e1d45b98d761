"""Where queries come in: UDP and TCP sockets in one namespace, and the TCP connections behind them."""

from __future__ import annotations

import socket

from moby_components.common.dns.process.asker import MOST_CONNECTIONS
from moby_components.common.dns.process.loop import GONE, READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from moby_components.common.dns.process.asker import Asker
    from moby_components.common.dns.process.server import Server

BUDGET = 16
"""Datagrams taken from one socket before the others have their turn: a flood of one container costs
its neighbours half a millisecond."""
LARGEST_QUERY = 4096
IDLE, ANSWERING = 5.0, 15.0


class Door:
    """One UDP socket, or several that share an address, and one for TCP. `who` tells the asker from a
    source address; None is not answered at all, so that nobody is sent what another one asked for under
    his address."""

    __slots__ = ("_connections", "_server", "_who", "tcp", "udps")

    def __init__(
        self,
        server: Server,
        udps: Sequence[socket.socket],
        tcp: socket.socket,
        who: Callable[[str], Asker | None],
    ) -> None:
        self._server, self.udps, self.tcp, self._who = server, udps, tcp, who
        self._connections: set[Connection] = set()
        for udp in udps:
            server.loop.watch(udp.fileno(), READ, self._from(udp))
        server.loop.watch(tcp.fileno(), READ, self._accept)

    def close(self) -> None:
        for connection in tuple(self._connections):
            connection.close()
        for sock in (*self.udps, self.tcp):
            if sock.fileno() >= 0:
                self._server.loop.forget(sock.fileno())
                sock.close()

    def close_of(self, asker: Asker) -> None:
        """Close the connections of one asker."""
        for connection in tuple(self._connections):
            if connection.asker is asker:
                connection.close()

    def leave(self, connection: Connection) -> None:
        self._connections.discard(connection)

    def _from(self, udp: socket.socket) -> Callable[[int], None]:
        return lambda _events: self._datagrams(udp)

    def _datagrams(self, udp: socket.socket) -> None:
        for _ in range(BUDGET):
            try:
                data, source = udp.recvfrom(LARGEST_QUERY)
            except OSError:  # nothing more; or an error that a container with CAP_NET_ADMIN put there
                return
            asker = self._who(source[0])
            if asker is None:
                continue
            said = self._server.handle(asker, data, self._reply_to(udp, source))
            if said:
                self._send(said, udp, source)

    def _reply_to(self, udp: socket.socket, source: tuple[str, int]) -> Callable[[bytes], None]:
        return lambda answer: self._send(answer, udp, source)

    def _send(self, answer: bytes, udp: socket.socket, to: tuple[str, int]) -> None:
        try:
            udp.sendto(answer, to)
        except OSError:
            pass  # its queue is full or it is gone; it asks again, or does not

    def _accept(self, events: int) -> None:
        if events & GONE:  # the container destroyed it (ss -K): it did so to itself
            self._server.loop.forget(self.tcp.fileno())
            return
        for _ in range(BUDGET):
            try:
                sock, source = self.tcp.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._server.spare.out_of_descriptors(self.tcp, error)
                return
            asker = self._who(source[0])
            if asker is None or asker.connections >= MOST_CONNECTIONS:
                sock.close()
                continue
            self._connections.add(Connection(self, self._server, asker, sock))


class Connection:
    """One TCP client: a query at a time, closed when it dawdles, says too much or nothing sensible."""

    __slots__ = ("_busy", "_door", "_inbox", "_outbox", "_server", "_sock", "_working", "asker", "deadline")

    def __init__(self, door: Door, server: Server, asker: Asker, sock: socket.socket) -> None:
        self._door, self._server, self.asker, self._sock = door, server, asker, sock
        self._inbox = bytearray()
        self._outbox = b""
        self._busy = self._working = False
        asker.connections += 1
        sock.setblocking(False)
        # From the accept on: whole queries push it back, bytes do not.
        self.deadline = server.loop.now + IDLE
        server.loop.waiting.add(self)
        server.loop.watch(sock.fileno(), READ, self._ready)

    def expire(self) -> None:
        self.close()

    def close(self) -> None:
        if self._sock.fileno() < 0:
            return
        self._server.loop.waiting.discard(self)
        self._server.loop.forget(self._sock.fileno())
        self._sock.close()
        self.asker.connections -= 1
        self._door.leave(self)

    def _ready(self, events: int) -> None:
        try:
            if events & WRITE:
                self._flush()
            elif events & READ and not self._busy and not self._outbox:
                said = self._sock.recv(LARGEST_QUERY + 2)
                if not said:
                    self.close()
                    return
                self._inbox += said
            elif events & GONE:
                self.close()
                return
            self._work()
        except BlockingIOError:
            return
        except OSError:
            self.close()

    def _work(self) -> None:
        """As many of the queries that lie in the inbox as may be answered now."""
        self._working = True
        taken = 0
        while taken < BUDGET and not self._busy and not self._outbox and self._whole():
            taken += 1
            length = self._inbox[0] << 8 | self._inbox[1]
            data = bytes(self._inbox[2 : 2 + length])
            del self._inbox[: 2 + length]
            self.deadline = self._server.loop.now + ANSWERING
            self._busy = True
            said = self._server.handle(self.asker, data, self._answered, tcp=True)
            if said:
                self._say(said)
            elif said is not None:
                self.close()
        self._working = False
        if self._sock.fileno() < 0:
            return
        # While an answer is on its way nothing more is read: the window fills up, not our memory.
        wanted = 0 if self._busy else READ
        if self._outbox or taken == BUDGET:
            wanted = WRITE
        self._server.loop.change(self._sock.fileno(), wanted)

    def _whole(self) -> bool:
        """Whether the inbox begins with a whole query. Closes on a length that none of ours has."""
        if self._sock.fileno() < 0 or len(self._inbox) < 2:
            return False
        length = self._inbox[0] << 8 | self._inbox[1]
        if not 12 <= length <= LARGEST_QUERY:
            self.close()
            return False
        return len(self._inbox) >= 2 + length

    def _answered(self, answer: bytes) -> None:
        """An answer from outside, perhaps before `handle` has returned."""
        if self._sock.fileno() < 0:
            return
        try:
            self._say(answer)
            if not self._working:
                self._work()
        except OSError:
            self.close()

    def _say(self, answer: bytes) -> None:
        self._busy = False
        self._outbox = len(answer).to_bytes(2, "big") + answer
        self.deadline = self._server.loop.now + IDLE
        self._flush()

    def _flush(self) -> None:
        if self._outbox:
            try:
                self._outbox = self._outbox[self._sock.send(self._outbox) :]
            except BlockingIOError:
                pass
