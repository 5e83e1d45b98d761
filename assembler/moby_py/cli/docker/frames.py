"""Docker's multiplexed stream, read: `[stream, 0, 0, 0, length]` before each piece."""

from __future__ import annotations

import struct


class Demultiplexer:
    """`feed` bytes as they come; it gives (stream, piece) without waiting for whole frames."""

    def __init__(self) -> None:
        self._head = b""
        self._stream = 1
        self._left = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        out: list[tuple[int, bytes]] = []
        at = 0
        while at < len(data):
            if self._left:
                piece = data[at : at + self._left]
                out.append((self._stream, piece))
                at += len(piece)
                self._left -= len(piece)
                continue
            take = 8 - len(self._head)
            self._head += data[at : at + take]
            at += take
            if len(self._head) == 8:
                self._stream, self._left = struct.unpack(">BxxxI", self._head)
                self._head = b""
        return out
