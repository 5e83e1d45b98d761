"""Docker's multiplexed stream: `[stream, 0, 0, 0, length (big endian, 32 bits)]` before each piece."""

from __future__ import annotations

import struct

STDIN, STDOUT, STDERR = 0, 1, 2
_HEADER = struct.Struct(">BxxxI")


def frame(stream: int, data: bytes) -> bytes:
    return _HEADER.pack(stream, len(data)) + data
