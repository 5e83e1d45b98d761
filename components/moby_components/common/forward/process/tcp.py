"""Published TCP ports."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from collections.abc import Callable

from .loop import IN, OUT, Loop
from .pipes import Pipes
from .stream import Direction
from .worlds import World, Worlds

BACKLOG, ACCEPTS = 4096, 64
DESCRIPTORS = 6  # two sockets, and a pipe in each direction while its reader is slow
MOST_CONNECTIONS = 16384
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
PAUSE = 0.1
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST
OPTIONS = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 5),
)


class Ledger:
    """How many connections there are. When there is no room, listeners wait: clients then queue in
    the kernel. One port gets three quarters of the room at most."""

    def __init__(self, open_files: int) -> None:
        self.limit = max(16, min(MOST_CONNECTIONS, (open_files - 512) // DESCRIPTORS))
        self.share = self.limit * 3 // 4
        self.count = 0
        self.waiting: set[TcpPort] = set()

    def leave(self) -> None:
        self.count -= 1
        for port in list(self.waiting):
            port.resume()


class Connection:
    """Two sockets; ends when both directions have, or either socket breaks."""

    __slots__ = ("_client", "_connecting", "_down", "_events", "_loop", "_on_end", "_server", "_up")

    def __init__(
        self,
        loop: Loop,
        pipes: Pipes,
        client: socket.socket,
        server: socket.socket,
        target: tuple[str, int],
        on_end: Callable[[Connection], None],
    ) -> None:
        self._loop, self._client, self._server, self._on_end = loop, client, server, on_end
        self._up, self._down = Direction(client, server, pipes), Direction(server, client, pipes)
        self._events: dict[socket.socket, int] = {client: 0, server: 0}
        self._connecting = True
        for sock in (client, server):
            for option in OPTIONS:
                sock.setsockopt(*option)
        code = server.connect_ex(target)
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, "connect")
        self._want(server, OUT)

    @property
    def moved(self) -> tuple[int, int]:
        """Bytes to the container, and from it."""
        return self._up.moved, self._down.moved

    def abort(self) -> None:
        """Both sides see a reset, as they would without us."""
        for sock in (self._client, self._server):
            if sock.fileno() >= 0:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._end()

    def _ready(self, events: int) -> None:
        try:
            if self._connecting:
                if not events & ~IN:
                    return
                code = self._server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    self.abort()
                    return
                self._connecting = False
            self._up.pump()
            self._down.pump()
        except OSError:
            self.abort()
            return
        if self._up.done and self._down.done:
            self._end()
            return
        up, down = self._up, self._down
        self._want(self._client, IN * up.wants_to_read | OUT * down.wants_to_write)
        self._want(self._server, IN * down.wants_to_read | OUT * up.wants_to_write)

    def _want(self, sock: socket.socket, events: int) -> None:
        """Watched for nothing means not watched at all: a socket that both sides have left would
        otherwise report that over and over while the other one is slow."""
        before = self._events[sock]
        if events == before:
            return
        self._events[sock] = events
        if not before:
            self._loop.watch(sock, events, self._ready)
        elif not events:
            self._loop.forget(sock)
        else:
            self._loop.change(sock, events)

    def _end(self) -> None:
        self._up.release()
        self._down.release()
        self._loop.close(self._client)
        self._loop.close(self._server)
        self._on_end(self)


class TcpPort:
    """A listening socket, and the connections that came through it."""

    def __init__(
        self,
        loop: Loop,
        worlds: Worlds,
        world: World,
        listener: socket.socket,
        target: tuple[str, int],
        ledger: Ledger,
        pipes: Pipes,
    ) -> None:
        self._loop, self._worlds, self._world, self._target = loop, worlds, world, target
        self._listener, self._ledger, self._pipes = listener, ledger, pipes
        self._family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        self._connections: set[Connection] = set()
        self._closed = False
        listener.listen(BACKLOG)
        loop.watch(listener, IN, self._accept)

    @property
    def flows(self) -> int:
        return len(self._connections)

    def resume(self) -> None:
        """Go on accepting."""
        self._ledger.waiting.discard(self)
        if not self._closed and self._room():
            self._loop.forget(self._listener)
            self._loop.watch(self._listener, IN, self._accept)

    def close(self) -> None:
        """Stop listening, and reset what is connected."""
        self._closed = True
        self._ledger.waiting.discard(self)
        self._loop.close_now(self._listener)
        for connection in list(self._connections):
            connection.abort()

    def _room(self) -> bool:
        return self._ledger.count < self._ledger.limit and len(self._connections) < self._ledger.share

    def _accept(self, _: int) -> None:
        for _round in range(ACCEPTS):
            if not self._room():
                self._loop.forget(self._listener)
                self._ledger.waiting.add(self)
                return
            try:
                client, _address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in EXHAUSTED:
                    self._loop.forget(self._listener)
                    self._loop.later(PAUSE, self.resume)
                    return
                continue  # this client is gone already (accept(2))
            self._begin(client)

    def _begin(self, client: socket.socket) -> None:
        client.setblocking(False)
        server = None
        try:
            server = self._worlds.socket(self._world, self._family, socket.SOCK_STREAM)
            connection = Connection(self._loop, self._pipes, client, server, self._target, self._ended)
        except OSError:
            with contextlib.suppress(OSError):
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            for sock in (client, server):
                if sock is not None:
                    self._loop.close(sock)
            return
        self._connections.add(connection)
        self._ledger.count += 1

    def _ended(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.discard(connection)
            self._ledger.leave()
