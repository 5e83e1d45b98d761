"""Taking a connection over from HTTP: attach and exec (Docker's "hijack").

After `Connection: Upgrade` and our 101 the socket carries raw bytes both ways; either side may end
its half (`docker run -i` closes stdin and goes on reading). aiohttp gives the transport up through
asyncio's public `set_protocol`; from then on it hears only that the connection is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
from types import TracebackType

from aiohttp import web

from moby_components.api.docker.connection import Connection

PIECE = 64 * 1024
LINGER = 2.0
"""Seconds to read on after our end: closing a unix socket with unread input looks like a reset."""


class _Protocol(asyncio.StreamReaderProtocol):
    """Tells aiohttp's connection that its transport is gone, whenever it goes: nothing leaks, and
    the handler is cancelled as for any client that leaves."""

    def __init__(self, reader: asyncio.StreamReader, http: asyncio.BaseProtocol) -> None:
        super().__init__(reader)
        self._http: asyncio.BaseProtocol | None = http

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.forget(exc)

    def forget(self, exc: Exception | None = None) -> None:
        http, self._http = self._http, None
        if http is not None:
            http.connection_lost(exc)


class Hangup:
    """Notices that a client which ended its half is gone altogether.

    After end of file a selector says no more about a socket, and a half-closed client is a welcome
    one. The kernel tells the two apart by EPOLLHUP, which an epoll of its own waits for.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._epoll = select.epoll()
        self._epoll.register(transport.get_extra_info("socket").fileno(), 0)
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._epoll.fileno(), self._hit)

    def _hit(self) -> None:
        self.close()
        self._transport.abort()

    def close(self) -> None:
        if not self._epoll.closed:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()


class Hijacked:
    """`async with Hijacked(request) as raw:` then `raw.read()` and `raw.write(data)`.

    Bytes that a hasty client sent before our 101 are not lost. Leaving the block ends our half,
    waits a little for the client's, and closes.
    """

    def __init__(self, request: web.BaseRequest, *, media: str) -> None:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client left before the upgrade")
        self._upgrade = "upgrade" in request.headers.get("Connection", "").lower()
        self._media = media
        self._transport = transport
        self._hangup: Hangup | None = None
        http = request.protocol
        loop = asyncio.get_running_loop()
        self.reader = asyncio.StreamReader(limit=PIECE * 4, loop=loop)
        self._protocol = _Protocol(self.reader, http)
        early = bytes(http.early or b"") if isinstance(http, Connection) else b""
        transport.set_protocol(self._protocol)
        self._protocol.connection_made(transport)
        if early:
            self.reader.feed_data(early)
        transport.resume_reading()  # it may have been paused for the early bytes
        self.writer = asyncio.StreamWriter(transport, self._protocol, self.reader, loop)

    async def __aenter__(self) -> Hijacked:
        lines = ["HTTP/1.1 101 UPGRADED" if self._upgrade else "HTTP/1.1 200 OK"]
        lines.append(f"Content-Type: {self._media}")
        if self._upgrade:
            lines += ["Connection: Upgrade", "Upgrade: tcp"]
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        await self.writer.drain()
        return self

    async def read(self) -> bytes:
        """The next piece of input; b"" at the end of the client's half."""
        data = await self.reader.read(PIECE)
        if not data and self._hangup is None and not self._transport.is_closing():
            self._hangup = Hangup(self._transport)
        return data

    async def write(self, data: bytes) -> None:
        """Send, no faster than the client reads. Raises ConnectionError when it is gone."""
        self.writer.write(data)
        await self.writer.drain()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and not self._transport.is_closing():
                with contextlib.suppress(OSError):
                    self.writer.write_eof()
                with contextlib.suppress(OSError, TimeoutError):
                    async with asyncio.timeout(LINGER):
                        while await self.read():
                            pass
        finally:
            if self._hangup is not None:
                self._hangup.close()
            self.writer.close()
            self._protocol.forget()


def media_type(version: tuple[int, int], *, tty: bool) -> str:
    """From 1.42 on the type says whether the stream is framed."""
    framed = version >= (1, 42) and not tty
    return f"application/vnd.docker.{'multiplexed' if framed else 'raw'}-stream"
