"""The wire format of RFC 1035 and 6891, as much as a stub forwarder needs: read one question, write
answers of four types. Every read is bounded; what does not parse raises `Bad` with the rcode to send.
"""

from __future__ import annotations

import struct

A, PTR, AAAA, OPT, ANY = 1, 12, 28, 41, 255
IN = 1
NOERROR, FORMERR, SERVFAIL, NOTIMP, REFUSED = 0, 1, 2, 4, 5
BADVERS = 16
QR, TC, RD, RA = 0x8000, 0x0200, 0x0100, 0x0080

TTL = 600  # Docker's
SMALLEST, LARGEST_UDP, LARGEST = 512, 4096, 65535
OUR_UDP_SIZE = 1232  # what fits any path without fragments (DNS flag day 2020)
MOST_RECORDS = 16  # a query carries OPT, perhaps TSIG

_HEADER = struct.Struct(">6H")
_RECORD = struct.Struct(">HHIH")
_QUESTION = struct.Struct(">HH")


class Bad(Exception):
    """Not a query that we answer. `rcode` says why; -1: not even worth an answer."""

    def __init__(self, rcode: int) -> None:
        super().__init__(rcode)
        self.rcode = rcode


class Query:
    """A parsed query. `name` is lower case and dotted, b"" for the root and for names that no
    container can have (a dot inside a label). `end` is where the question ends. `size` is the UDP
    payload size of its OPT record, 0 without one."""

    __slots__ = ("do", "end", "name", "rclass", "rtype", "size", "version")

    def __init__(self, name: bytes, rtype: int, rclass: int, end: int) -> None:
        self.name = name
        self.rtype = rtype
        self.rclass = rclass
        self.end = end
        self.size = 0
        self.version = 0
        self.do = 0

    @property
    def limit(self) -> int:
        """The largest answer that the asker takes over UDP."""
        return min(max(self.size, SMALLEST), LARGEST_UDP)


def parse(data: bytes) -> Query:
    """The question of a query. Raises Bad; never anything else, whatever `data` is."""
    if len(data) < 12:
        raise Bad(-1)
    _, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(data)
    if flags & QR:
        raise Bad(-1)  # an answer: never answer it, two resolvers would play ping-pong
    if flags & 0x7800:
        raise Bad(NOTIMP)
    if questions != 1 or flags & TC:
        raise Bad(FORMERR)
    name, position = _name(data)
    if position + 4 > len(data):
        raise Bad(FORMERR)
    rtype, rclass = _QUESTION.unpack_from(data, position)
    query = Query(name, rtype, rclass, position + 4)
    others = answers + authorities + additionals
    if others:
        if others > MOST_RECORDS:
            raise Bad(FORMERR)
        _others(data, query, others)
    return query


def _name(data: bytes) -> tuple[bytes, int]:
    labels = []
    position = 12
    size = len(data)
    while True:
        if position >= size:
            raise Bad(FORMERR)
        length = data[position]
        position += 1
        if length == 0:
            break
        # A pointer (0xc0) has nothing to point to in the first name of a message.
        if length > 63 or position + length > size or position + length > 12 + 254:
            raise Bad(FORMERR)
        labels.append(data[position : position + length])
        position += length
    name = b".".join(labels).lower()
    if name.count(b".") != max(len(labels) - 1, 0):
        name = b""
    return name, position


def _others(data: bytes, query: Query, count: int) -> None:
    position = query.end
    seen = False
    for _ in range(count):
        start = position
        position = skip_name(data, position)
        if position + 10 > len(data):
            raise Bad(FORMERR)
        rtype, rclass, ttl, length = _RECORD.unpack_from(data, position)
        if rtype == OPT:
            if seen or data[start]:
                raise Bad(FORMERR)  # RFC 6891 6.1.1: one, and at the root
            seen = True
            query.size = max(rclass, SMALLEST)
            query.version = ttl >> 16 & 0xFF
            query.do = ttl & 0x8000
        position += 10 + length
        if position > len(data):
            raise Bad(FORMERR)


def skip_name(data: bytes, position: int) -> int:
    """Where the name at `position` ends. Pointers are not followed, so there is no loop to fall into."""
    for _ in range(128):
        if position >= len(data):
            break
        length = data[position]
        if length >= 0xC0:
            return position + 2
        if length > 63:
            break
        position += 1 + length
        if length == 0:
            return position
    raise Bad(FORMERR)


def fail(data: bytes, rcode: int, query: Query | None = None) -> bytes:
    """An answer without records: the header and the question come back as they were, `rcode` added."""
    number, flags = struct.unpack_from(">HH", data)
    flags = QR | flags & (0x7800 | RD) | RA | rcode & 0x0F
    if query is None:
        return _HEADER.pack(number, flags, 0, 0, 0, 0)
    opt = _opt(query, rcode)
    return _HEADER.pack(number, flags, 1, 0, 0, 1 if opt else 0) + data[12 : query.end] + opt


def reply(data: bytes, query: Query, records: list[bytes], limit: int) -> bytes:
    """An answer with the records that fit into `limit` bytes; TC is set when some do not."""
    flags = QR | RA | data[2] << 8 & RD
    opt = _opt(query, NOERROR)
    room = limit - query.end - len(opt)
    taken = b"".join(records)
    count = len(records)
    if len(taken) > room:
        flags |= TC
        count, length = 0, 0
        while count < len(records) and length + len(records[count]) <= room:
            length += len(records[count])
            count += 1
        taken = b"".join(records[:count])
    header = _HEADER.pack(data[0] << 8 | data[1], flags, 1, count, 0, 1 if opt else 0)
    return header + data[12 : query.end] + taken + opt


def record(rtype: int, value: bytes) -> bytes:
    """A record whose owner is the name of the question."""
    return b"\xc0\x0c" + _RECORD.pack(rtype, IN, TTL, len(value)) + value


def encode_name(name: str) -> bytes:
    """A name as labels; b"" when it cannot be one (labels of up to 63 bytes, 255 in all)."""
    labels = name.encode(errors="replace").split(b".")
    if any(not 0 < len(label) <= 63 for label in labels):
        return b""
    encoded = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    return encoded if len(encoded) <= 255 else b""


def answers(data: bytes, sent: bytes, end: int) -> bool:
    """Whether `data` is an answer to the query `sent`, whose question ends at `end`: same id, same
    opcode, same question (names compared without case). A server that understood nothing of the query
    may leave the question out, but then has nothing to say beyond an error."""
    if len(data) < 12 or data[:2] != sent[:2] or not data[2] & 0x80 or (data[2] ^ sent[2]) & 0x78:
        return False
    questions = data[4] << 8 | data[5]
    if questions == 0:
        return data[3] & 0x0F in (FORMERR, SERVFAIL, NOTIMP, REFUSED) and len(data) == 12
    if questions != 1 or len(data) < end:
        return False
    name = end - 4
    return data[name:end] == sent[name:end] and data[12:name].lower() == sent[12:name].lower()


def _opt(query: Query, rcode: int) -> bytes:
    if not query.size:
        return b""
    return b"\0" + _RECORD.pack(OPT, OUR_UDP_SIZE, rcode >> 4 << 24 | query.do, 0)
