"""What a program needs to start, read from its own headers: interpreter and shared libraries.

No program is run and no `ldd`: System V ABI, chapters 4 and 5 (program headers, dynamic section).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NULL, _DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_RPATH, _DT_RUNPATH = 0, 1, 5, 10, 15, 29
_MAX_DYNAMIC, _MAX_STRINGS, _MAX_PATH = 1 << 20, 16 << 20, 4096


@dataclass(frozen=True, slots=True)
class Elf:
    """`arch` (class, machine) must be equal for things that are loaded together. `interpreter` "" and
    no `needed`: statically linked. `paths` are RUNPATH or RPATH, still with $ORIGIN."""

    arch: tuple[int, int]
    interpreter: str = ""
    needed: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Segment:
    kind: int
    offset: int
    address: int
    size: int


def read_elf(path: Path) -> Elf | None:
    """None for what is no ELF file, or a damaged one."""
    try:
        with path.open("rb") as file:
            return _read(file)
    except (struct.error, ValueError, OSError):
        return None


def _read(file: BinaryIO) -> Elf | None:
    head = file.read(64)
    if len(head) < 52 or head[:4] != b"\x7fELF" or head[4] not in (1, 2) or head[5] not in (1, 2):
        return None
    wide = head[4] == 2
    order = "<" if head[5] == 1 else ">"
    (machine,) = struct.unpack_from(order + "H", head, 18)
    segments = _segments(file, head, order, wide=wide)
    interpreter, entries = "", []
    for segment in segments:
        if segment.kind == _PT_INTERP:
            interpreter = _at(file, segment.offset, min(segment.size, _MAX_PATH)).split(b"\0")[0].decode()
        elif segment.kind == _PT_DYNAMIC:
            data = _at(file, segment.offset, min(segment.size, _MAX_DYNAMIC))
            entries = list(struct.iter_unpack(order + ("qQ" if wide else "iI"), data))
    arch = (head[4], machine)
    needed, paths = _dynamic(file, segments, entries)
    return Elf(arch, interpreter, needed, paths)


def _segments(file: BinaryIO, head: bytes, order: str, *, wide: bool) -> list[_Segment]:
    if wide:
        (table,) = struct.unpack_from(order + "Q", head, 32)
        size, count = struct.unpack_from(order + "HH", head, 54)
    else:
        (table,) = struct.unpack_from(order + "I", head, 28)
        size, count = struct.unpack_from(order + "HH", head, 42)
    data = _at(file, table, size * count)
    found = []
    for n in range(count):
        if wide:
            kind, _, offset, address, _, length = struct.unpack_from(order + "IIQQQQ", data, n * size)
        else:
            kind, offset, address, _, length = struct.unpack_from(order + "IIIII", data, n * size)
        found.append(_Segment(kind, offset, address, length))
    return found


def _dynamic(
    file: BinaryIO, segments: Sequence[_Segment], entries: Sequence[tuple[int, int]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(needed libraries, search paths)."""
    values: dict[int, list[int]] = {}
    for tag, value in entries:
        if tag == _DT_NULL:
            break
        values.setdefault(tag, []).append(value)
    if _DT_STRTAB not in values or _DT_STRSZ not in values:
        return (), ()
    start = _offset_of(values[_DT_STRTAB][0], segments)
    strings = _at(file, start, min(values[_DT_STRSZ][0], _MAX_STRINGS))

    def text(at: int) -> str:
        return strings[at : strings.index(b"\0", at)].decode()

    needed = tuple(text(at) for at in values.get(_DT_NEEDED, ()))
    searched = values.get(_DT_RUNPATH) or values.get(_DT_RPATH) or []
    paths = tuple(path for at in searched for path in text(at).split(":") if path)
    return needed, paths


def _offset_of(address: int, segments: Sequence[_Segment]) -> int:
    for segment in segments:
        if segment.kind == _PT_LOAD and segment.address <= address < segment.address + segment.size:
            return segment.offset + address - segment.address
    raise ValueError(address)


def _at(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)
