"""The extended headers of POSIX pax (IEEE 1003.1) and the sparse files of GNU tar's three formats."""

from __future__ import annotations

from collections.abc import Sequence

from moby_components.common.tree.source import Source
from moby_py.errors import DataError

XATTR = b"SCHILY.xattr."
MAX_SPARSE = 1 << 16
"""Pieces of one sparse file."""

Records = dict[bytes, bytes]
SparseMap = tuple[tuple[int, int], ...]


def parse_records(data: bytes, what: str) -> Records:
    """`LENGTH KEY=VALUE\\n` records. GNU's repeated keys (sparse 0.0) are folded into a map of 0.1.

    >>> parse_records(b"12 path=abc\\n", "x")
    {b'path': b'abc'}
    """
    records: Records = {}
    pieces: list[bytes] = []
    position = 0
    while position < len(data) and data[position]:
        space = data.find(b" ", position, position + 20)
        digits = data[position:space]
        if space < 0 or not digits.isdigit():
            raise DataError(f"cannot read {what} - malformed pax header")
        end = position + int(digits)
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if end > len(data) or end <= space or not equals or not key or data[end - 1 : end] != b"\n":
            raise DataError(f"cannot read {what} - malformed pax header")
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            pieces.append(value)
        else:
            records[key] = value
        position = end
    if pieces:
        records[b"GNU.sparse.map"] = b",".join(pieces)
    return records


def parse_time(value: bytes, what: str) -> int:
    """Seconds with a fraction -> nanoseconds, without going through a float.

    >>> parse_time(b"1.5", "x"), parse_time(b"-1.25", "x")
    (1500000000, -1250000000)
    """
    text = value.decode("ascii", "replace")
    negative, text = text.startswith("-"), text.removeprefix("-")
    whole, _, fraction = text.partition(".")
    if not (whole.isdigit() and (not fraction or fraction.isdigit()) and len(whole) < 13 and text.isascii()):
        raise DataError(f"cannot read {what} - malformed pax header")
    result = int(whole) * 1_000_000_000 + int((fraction + "0" * 9)[:9])
    return -result if negative else result


def number(value: bytes, what: str) -> int:
    if not value.isdigit() or len(value) > 20:
        raise DataError(f"cannot read {what} - malformed pax header")
    return int(value)


def sparse_of(records: Records, source: Source, size: int) -> tuple[SparseMap, int, int] | None:
    """(map, real size, bytes of data left in the archive) where these records make a sparse file."""
    what = source.what
    if records.get(b"GNU.sparse.major") == b"1":
        numbers, used = _map_in_data(source, size)
        real = number(records.get(b"GNU.sparse.realsize", b""), what)
        return checked_map(numbers, real, size - used, what), real, size - used
    if b"GNU.sparse.map" in records:
        numbers = [number(n, what) for n in records[b"GNU.sparse.map"].split(b",") if n]
        real = number(records.get(b"GNU.sparse.size", records.get(b"GNU.sparse.realsize", b"")), what)
        return checked_map(numbers, real, size, what), real, size
    return None


def _map_in_data(source: Source, size: int) -> tuple[list[int], int]:
    """Format 1.0: decimal numbers, one a line, in whole blocks before the data."""
    numbers: list[int] = []
    used, rest, wanted = 0, b"", 1
    while len(numbers) < wanted:
        if used + 512 > size:
            raise DataError(f"cannot read {source.what} - malformed sparse file")
        rest += source.take(512)
        used += 512
        *lines, rest = rest.split(b"\n")
        for line in lines:
            numbers.append(number(line, source.what))
            if len(numbers) == 1:
                wanted = 1 + 2 * numbers[0]
            if wanted > 2 * MAX_SPARSE:
                raise DataError(f"cannot read {source.what} - malformed sparse file")
            if len(numbers) == wanted:
                return numbers[1:], used
    return numbers[1:], used


def checked_map(numbers: Sequence[int], real: int, data: int, what: str) -> SparseMap:
    """Pairs of (offset, length) that do not overlap, lie within the file and use up the data."""
    pairs = tuple(zip(numbers[::2], numbers[1::2], strict=False))
    end = total = 0
    for offset, length in pairs:
        if offset < end or offset + length > real:
            raise DataError(f"cannot read {what} - malformed sparse file")
        end = offset + length
        total += length
    if len(numbers) % 2 or len(pairs) > MAX_SPARSE or total != data:
        raise DataError(f"cannot read {what} - malformed sparse file")
    return pairs
