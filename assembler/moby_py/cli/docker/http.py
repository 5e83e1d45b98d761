"""HTTP/1.1 over the platform's unix socket: one connection per request, nothing kept.

The standard library's http.client costs half of what `ps` may take (it brings the email package);
what a client of one known server needs of HTTP is small.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping

PIECE = 64 * 1024
HEAD_LIMIT = 256 * 1024


class Wire:
    """A connected socket with what was read beyond the last line."""

    def __init__(self, path: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.buffer = b""
        try:
            self.sock.connect(path)
        except BaseException:
            self.sock.close()
            raise

    def line(self) -> bytes:
        while b"\n" not in self.buffer:
            if len(self.buffer) > HEAD_LIMIT:
                raise OSError("the answer's head is too long")
            more = self.sock.recv(PIECE)
            if not more:
                raise ConnectionResetError("the platform closed the connection")
            self.buffer += more
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.rstrip(b"\r")

    def some(self, limit: int = PIECE) -> bytes:
        """What is there, at most `limit` bytes; b"" at the end."""
        if not self.buffer:
            return self.sock.recv(limit)
        piece, self.buffer = self.buffer[:limit], self.buffer[limit:]
        return piece

    def send(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | Iterable[bytes] | None
    ) -> None:
        head = [f"{method} {target} HTTP/1.1", "Host: platform"]
        head += [f"{name}: {value}" for name, value in headers.items()]
        if isinstance(body, bytes):
            head.append(f"Content-Length: {len(body)}")
        elif body is not None:
            head.append("Transfer-Encoding: chunked")
        elif method in ("POST", "PUT"):
            head.append("Content-Length: 0")
        start = ("\r\n".join(head) + "\r\n\r\n").encode()
        if body is None or isinstance(body, bytes):
            self.sock.sendall(start + (body or b""))
            return
        self.sock.sendall(start)
        for piece in body:
            if piece:
                self.sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.sock.sendall(b"0\r\n\r\n")


class Response:
    """Status and headers are read; the body is read as it is asked for."""

    def __init__(self, wire: Wire, method: str) -> None:
        self.wire = wire
        words = wire.line().split(b" ", 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
            raise OSError("not an HTTP answer - is the socket a platform's?")
        self.status = int(words[1])
        self.headers: dict[str, str] = {}
        while line := wire.line():
            name, _, value = line.decode("latin-1").partition(":")
            self.headers[name.strip().lower()] = value.strip()
        length = self.headers.get("content-length")
        self._chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        self._left = int(length) if length is not None else -1
        if method == "HEAD" or self.status in (204, 304):
            self._chunked, self._left = False, 0

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes. Raises ConnectionResetError when it ends too early."""
        if self._chunked:
            while size := int(self.wire.line().split(b";")[0] or b"0", 16):
                yield from self._exactly(size)
                self.wire.line()
            self.wire.line()
        elif self._left >= 0:
            yield from self._exactly(self._left)
        else:
            while piece := self.wire.some():
                yield piece

    def _exactly(self, count: int) -> Iterator[bytes]:
        while count:
            piece = self.wire.some(min(count, PIECE))
            if not piece:
                raise ConnectionResetError("the platform closed the connection")
            count -= len(piece)
            yield piece

    def read(self) -> bytes:
        return b"".join(self.pieces())

    def lines(self) -> Iterator[bytes]:
        """The body's lines as they come, without their ends; empty ones left out."""
        rest = b""
        for piece in self.pieces():
            *whole, rest = (rest + piece).split(b"\n")
            yield from (line for line in (w.strip() for w in whole) if line)
        if rest.strip():
            yield rest.strip()

    def close(self) -> None:
        self.wire.sock.close()
