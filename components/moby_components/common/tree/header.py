"""Tar entries out of a byte stream: ustar, pax, GNU long names, GNU sparse files, base-256 numbers.

Nothing is written here and no path is judged: `name` and `link` are the bytes of the archive.
Global pax headers are passed over, as every tool of the container field does.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from moby_components.common.tree import pax
from moby_components.common.tree.limits import MAX_EXTENDED_HEADER, Limits
from moby_components.common.tree.source import Source
from moby_py.errors import DataError

BLOCK = 512
_FIELDS = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12s")
_ZERO = b"\0" * BLOCK

REGULAR, HARDLINK, SYMLINK, CHAR, BLOCK_DEVICE, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
_ALIASES = {b"\0": REGULAR, b"7": REGULAR, b"S": REGULAR}
_KNOWN = frozenset((REGULAR, HARDLINK, SYMLINK, CHAR, BLOCK_DEVICE, DIRECTORY, FIFO))
_NO_DATA = frozenset((SYMLINK, CHAR, BLOCK_DEVICE, DIRECTORY, FIFO))
_MAX_TIME = 1 << 40
"""Seconds; no filesystem keeps later ones, and the system call would not take much later ones."""
_EXTENDED = frozenset((b"x", b"X", b"g", b"L", b"K"))


@dataclass(slots=True)
class Entry:
    """One member. `size` is bytes of data in the archive; `real_size` the length of the file."""

    name: bytes
    type: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    """Nanoseconds since the epoch."""
    link: bytes
    device: tuple[int, int]
    real_size: int
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    sparse: pax.SparseMap | None = None


class TarReader:
    """All members in order; `body` gives the data of the one that was yielded last.

    Raises DataError for what is not a tar, or is too much of one. What of a body is not read is
    skipped.
    """

    def __init__(self, source: Source, limits: Limits) -> None:
        self._source = source
        self._limits = limits
        self._left = 0
        self._padding = 0

    def __iter__(self) -> Iterator[Entry]:
        source, count = self._source, 0
        records: pax.Records = {}
        names: dict[bytes, bytes] = {}
        while True:
            block = source.take(BLOCK)
            if not block or block == _ZERO:
                return
            entry = self._parse(block)
            if entry.type in _EXTENDED:
                data = self._extended(entry)
                if entry.type in (b"L", b"K"):
                    names[entry.type] = data.split(b"\0", 1)[0]
                elif entry.type != b"g":
                    records = pax.parse_records(data, source.what)
                continue
            count += 1
            if count > self._limits.entries:
                raise DataError(
                    f"cannot unpack {source.what} - it holds more than {self._limits.entries} entries",
                    hint=self._limits.ways.get("entries"),
                )
            entry.name = names.get(b"L", entry.name)
            entry.link = names.get(b"K", entry.link)
            if records or entry.type == b"S":
                self._refine(entry, records, block)
            self._begin(entry)
            if entry.type in _KNOWN:
                yield entry
            elif entry.type != b"V":
                raise DataError(f"cannot unpack {source.what} - unknown kind of tar entry {entry.type!r}")
            source.skip(self._left + self._padding)
            records, names = {}, {}

    def body(self) -> Iterator[memoryview]:
        """The data of the present entry, `entry.size` bytes in all."""
        count, self._left = self._left, 0
        return self._source.pieces(count)

    def _begin(self, entry: Entry) -> None:
        entry.type = _ALIASES.get(entry.type, entry.type)
        if entry.type == REGULAR and entry.name.endswith(b"/"):
            entry.type = DIRECTORY  # how tar said it before 1988, and some still do
        if entry.type in _NO_DATA:
            entry.size = entry.real_size = 0
        self._left = entry.size
        self._padding = -entry.size % BLOCK

    def _parse(self, block: bytes) -> Entry:
        what = self._source.what
        (name, mode, uid, gid, size, mtime, checksum, kind, link, magic, _, _, major, minor, prefix, _) = (
            _FIELDS.unpack(block)
        )
        stated = _number(checksum, what)
        if stated != sum(block) - sum(checksum) + 8 * 32 and stated != _signed_sum(block):
            raise DataError(f"cannot read {what} - not a tar archive (checksum of a header is wrong)")
        name = name.split(b"\0", 1)[0]
        if prefix[0] and magic[:6] == b"ustar\0":
            name = prefix.split(b"\0", 1)[0] + b"/" + name
        length = _number(size, what)
        if length < 0:
            raise DataError(f"cannot read {what} - not a tar archive (negative size)")
        device = (_number(major, what), _number(minor, what)) if kind in b"34" else (0, 0)
        if not all(0 <= part < 1 << 20 for part in device):
            raise DataError(f"cannot read {what} - a device number is out of range")
        return Entry(
            name,
            kind,
            _number(mode, what),
            _number(uid, what),
            _number(gid, what),
            length,
            max(-_MAX_TIME, min(_number(mtime, what), _MAX_TIME)) * 1_000_000_000,
            link.split(b"\0", 1)[0],
            device,
            length,
        )

    def _extended(self, entry: Entry) -> bytes:
        if entry.size > MAX_EXTENDED_HEADER:
            raise DataError(f"cannot read {self._source.what} - extended header of {entry.size} bytes")
        data = self._source.take(entry.size) if entry.size else b""
        if len(data) < entry.size:
            raise self._source.truncated()
        self._source.skip(-entry.size % BLOCK)
        return data

    def _refine(self, entry: Entry, records: pax.Records, block: bytes) -> None:
        """What pax records and GNU sparse headers say instead of the plain header."""
        source = self._source
        what = source.what
        for key, value in records.items():
            if key == b"path":
                entry.name = value
            elif key == b"linkpath":
                entry.link = value
            elif key == b"size":
                entry.size = entry.real_size = pax.number(value, what)
            elif key == b"uid":
                entry.uid = pax.number(value, what)
            elif key == b"gid":
                entry.gid = pax.number(value, what)
            elif key == b"mtime":
                entry.mtime = pax.parse_time(value, what)
            elif key == b"GNU.sparse.name":
                entry.name = value
            elif key.startswith(pax.XATTR):
                entry.xattrs[key[len(pax.XATTR) :]] = value
        if entry.type == b"S":
            self._old_sparse(entry, block)
            return
        sparse = pax.sparse_of(records, source, entry.size)
        if sparse is not None:
            # A map in the data took whole blocks: what is left of it pads to the same end.
            entry.sparse, entry.real_size, entry.size = sparse

    def _old_sparse(self, entry: Entry, block: bytes) -> None:
        """Type "S": up to four pieces in the header, 21 in each extension block that follows."""
        what = self._source.what
        numbers = _sparse_numbers(block[386:482], what)
        more = block[482]
        while more:
            extension = self._source.take(BLOCK)
            if not extension or len(numbers) > 2 * pax.MAX_SPARSE:
                raise DataError(f"cannot read {what} - malformed sparse file")
            numbers += _sparse_numbers(extension[:504], what)
            more = extension[504]
        entry.real_size = _number(block[483:495], what)
        entry.sparse = pax.checked_map(numbers, entry.real_size, entry.size, what)


def _number(field: bytes, what: str) -> int:
    """Octal digits, or base 256 where the first bit is set (GNU; two's complement).

    >>> _number(b"0000755\\0", "x"), _number(b"\\x80\\0\\0\\0\\0\\0\\0\\x09", "x")
    (493, 9)
    """
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") - (0x80 << 8 * (len(field) - 1))
        bits = 8 * len(field) - 1
        if value >> (bits - 1):
            value -= 1 << bits
        if not -(1 << 62) < value < 1 << 62:
            raise DataError(f"cannot read {what} - not a tar archive (malformed number)")
        return value
    digits = field.split(b"\0", 1)[0].strip(b" ")
    try:
        return int(digits, 8) if digits else 0
    except ValueError:
        raise DataError(f"cannot read {what} - not a tar archive (malformed number)") from None


def _signed_sum(block: bytes) -> int:
    """The checksum as Sun's tar made it, bytes taken as signed."""
    plain = block[:148] + b" " * 8 + block[156:]
    return sum(plain) - 256 * sum(1 for byte in plain if byte > 127)


def _sparse_numbers(field: bytes, what: str) -> list[int]:
    numbers: list[int] = []
    for at in range(0, len(field), 24):
        if not field[at]:
            break
        numbers += (_number(field[at : at + 12], what), _number(field[at + 12 : at + 24], what))
    return numbers
