"""One query on its way to the resolvers outside.

Each attempt has a socket of its own, so a port that the kernel draws, and an id drawn here; an answer
counts only if it comes from whom was asked and repeats the question. SERVFAIL, REFUSED, silence and an
unreachable server lead to the next one; twice round, then SERVFAIL. What goes out and what comes back
is not rewritten but for the id: EDNS, case and flags are the asker's and the server's own affair.
"""

from __future__ import annotations

import os
import socket

from moby_components.common.dns.process import wire
from moby_components.common.dns.process.loop import READ, WRITE
from moby_components.common.dns.process.spaces import inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from moby_components.common.dns.process.asker import Asker
    from moby_components.common.dns.process.server import Server

PATIENCE = 2.0  # seconds for one attempt
ROUNDS = 2
MOST_STRANGERS = 50  # answers that are not, before an attempt is given up


class Forward:
    """Registers itself with its asker and the loop; calls `reply` exactly once, or never when the
    asker is dismissed."""

    __slots__ = (
        "_asker", "_best", "_data", "_end", "_host", "_inbox", "_outbox", "_reply", "_sent", "_server",
        "_sock", "_strangers", "_target", "_tcp", "_tries", "deadline",
    )  # fmt: skip

    def __init__(
        self,
        server: Server,
        asker: Asker,
        data: bytes,
        query: wire.Query,
        reply: Callable[[bytes], None],
        *,
        tcp: bool,
    ) -> None:
        self._server, self._asker, self._data, self._end = server, asker, data, query.end
        self._reply, self._tcp = reply, tcp
        self._sock: socket.socket | None = None
        self._best = b""
        self._inbox = bytearray()
        self._outbox = self._sent = b""
        self._strangers = 0
        servers, self._host = asker.servers(server.host)
        self._tries = list(servers) * ROUNDS
        self._target = self._tries[0] if self._tries else None
        self.deadline = 0.0

    def start(self) -> None:
        self._asker.forwards.add(self)
        self._server.outstanding += 1
        self._server.loop.waiting.add(self)
        self._next()

    def drop(self) -> None:
        """The asker is gone: nobody waits for an answer."""
        if self in self._asker.forwards:
            self._asker.forwards.discard(self)
            self._server.outstanding -= 1
            self._server.loop.waiting.discard(self)
            self._close()

    def expire(self) -> None:
        self._next()

    def _next(self) -> None:
        self._close()
        while self._tries:
            self._target = self._tries.pop(0)
            try:
                self._ask(socket.SOCK_DGRAM)
                return
            except OSError:
                self._close()
        self._finish(self._best or wire.fail(self._data, wire.SERVFAIL, None))

    def _finish(self, answer: bytes) -> None:
        self.drop()
        self._reply(self._data[:2] + answer[2:])

    def _ask(self, kind: int) -> None:
        assert self._target is not None  # noqa: S101 - taken from the list just now
        family, address = self._target
        sock = self._open(family, kind)
        self._sock = sock
        self._strangers = 0
        self._inbox.clear()
        self._sent = os.urandom(2) + self._data[2:]
        self.deadline = self._server.loop.now + PATIENCE
        if kind == socket.SOCK_DGRAM:
            sock.connect(address)
            sock.send(self._sent)
            self._server.loop.watch(sock.fileno(), READ, self._datagram)
        else:
            self._outbox = len(self._sent).to_bytes(2, "big") + self._sent
            code = sock.connect_ex(address)
            if code not in (0, 115):  # EINPROGRESS
                raise OSError(code, os.strerror(code))
            self._server.loop.watch(sock.fileno(), WRITE, self._stream)

    def _open(self, family: int, kind: int) -> socket.socket:
        flags = kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        if self._host:
            return socket.socket(family, flags)
        space = self._asker.space()
        try:
            return inside(space, lambda: socket.socket(family, flags))
        finally:
            os.close(space)

    def _datagram(self, _events: int) -> None:
        assert self._sock is not None  # noqa: S101 - watched only while it is open
        while self._strangers < MOST_STRANGERS:
            try:
                answer = self._sock.recv(wire.LARGEST)
            except BlockingIOError:
                return
            except OSError:  # refused or unreachable: an ICMP message said so
                break
            if not wire.answers(answer, self._sent, self._end):
                self._strangers += 1
                continue
            self._judge(answer)
            return
        self._next()

    def _judge(self, answer: bytes) -> None:
        if answer[3] & 0x0F in (wire.SERVFAIL, wire.REFUSED):
            self._best = answer
            self._next()
        elif answer[2] & 0x02 and self._tcp:  # truncated, and our asker came over TCP to have it whole
            self._best = answer
            self._close()
            try:
                self._ask(socket.SOCK_STREAM)
            except OSError:
                self._next()
        else:
            self._finish(answer)

    def _stream(self, events: int) -> None:
        assert self._sock is not None  # noqa: S101 - watched only while it is open
        try:
            if events & WRITE and self._outbox:
                self._outbox = self._outbox[self._sock.send(self._outbox) :]
                if not self._outbox:
                    self._server.loop.change(self._sock.fileno(), READ)
                return
            said = self._sock.recv(wire.LARGEST)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        self._inbox += said
        whole = len(self._inbox) >= 2 and len(self._inbox) >= 2 + int.from_bytes(self._inbox[:2], "big")
        if whole:
            answer = bytes(self._inbox[2 : 2 + int.from_bytes(self._inbox[:2], "big")])
            if wire.answers(answer, self._sent, self._end):
                self._finish(answer)
                return
        if whole or not said:
            self._next()

    def _close(self) -> None:
        if self._sock is not None:
            self._server.loop.forget(self._sock.fileno())
            self._sock.close()
            self._sock = None
