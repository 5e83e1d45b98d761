"""Netlink's bytes: messages and attributes, encoded and parsed (man 7 netlink, linux/netlink.h)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

REQUEST, ACK, ROOT, MATCH = 1, 4, 0x100, 0x200
DUMP = ROOT | MATCH
REPLACE, EXCL, CREATE = 0x100, 0x200, 0x400
NESTED = 0x8000
TYPE_MASK = 0x3FFF
ERROR, DONE = 2, 3

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `label` names it in the error when the kernel refuses it; `absent_ok` and
    `present_ok` say that "no such device" and "exists already" are as good as done."""

    type: int
    flags: int
    body: bytes
    label: str = ""
    absent_ok: bool = False
    present_ok: bool = False

    def encode(self, sequence: int) -> bytes:
        size = _HEADER.size + len(self.body)
        return _HEADER.pack(size, self.type, self.flags | REQUEST, sequence, 0) + pad(self.body)


@dataclass(frozen=True, slots=True)
class Received:
    """One message from the kernel: its type, flags, sequence number and what follows the header."""

    type: int
    flags: int
    sequence: int
    body: bytes


def pad(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def attribute(kind: int, data: bytes) -> bytes:
    return pad(_ATTRIBUTE.pack(4 + len(data), kind) + data)


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def u8(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=B", value))


def u32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def nested(kind: int, *attributes: bytes) -> bytes:
    return attribute(kind | NESTED, b"".join(attributes))


def messages(data: bytes) -> Iterator[Received]:
    """The messages in one datagram; what is cut short is left out."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        size, kind, flags, sequence, _port = _HEADER.unpack_from(data, offset)
        if size < _HEADER.size or offset + size > len(data):
            return
        yield Received(kind, flags, sequence, data[offset + _HEADER.size : offset + size])
        offset += size + -size % 4


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """The attributes from `offset` on, by type; the last of a type wins."""
    found = {}
    while offset + 4 <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, offset)
        if size < 4:
            break
        found[kind & TYPE_MASK] = data[offset + 4 : offset + size]
        offset += size + -size % 4
    return found
