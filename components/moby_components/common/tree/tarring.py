"""Tar entries as bytes: ustar, with a pax header before it where ustar has no room.

Names are bytes and may be anything; extended attributes go into SCHILY.xattr records, as every tool
of the container field reads them. Times are whole seconds, as in Docker's layers, unless a member has
`nanoseconds`; a sparse file is written as GNU tar's format 1.0 does.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

BLOCK = 512
END = b"\0" * (2 * BLOCK)
_TYPES = {
    stat.S_IFREG: b"0",
    stat.S_IFLNK: b"2",
    stat.S_IFCHR: b"3",
    stat.S_IFBLK: b"4",
    stat.S_IFDIR: b"5",
    stat.S_IFIFO: b"6",
}


@dataclass(slots=True, kw_only=True)
class Member:
    """One entry. `type` is tar's character; `link` the target of both kinds of links."""

    name: bytes
    type: bytes = b"0"
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime: int = 0
    link: bytes = b""
    device: int = 0
    xattrs: Mapping[str, bytes] = field(default_factory=dict)
    nanoseconds: int = 0
    """Of the time, beyond `mtime`."""
    sparse: int = -1
    """The length of a sparse file; `size` then counts its map and what is not a hole."""


def member_of(name: bytes, found: os.stat_result, *, link: bytes = b"") -> Member | None:
    """The entry for a file of this kind; None for a socket, which no archive can hold."""
    kind = _TYPES.get(stat.S_IFMT(found.st_mode))
    if kind is None:
        return None
    return Member(
        name=name + b"/" if kind == b"5" else name,
        type=kind,
        mode=stat.S_IMODE(found.st_mode),
        uid=found.st_uid,
        gid=found.st_gid,
        size=found.st_size if kind == b"0" else 0,
        mtime=found.st_mtime_ns // 1_000_000_000,
        link=link,
        device=found.st_rdev if kind in b"34" else 0,
    )


def header(member: Member) -> bytes:
    """The blocks before the data.

    >>> len(header(Member(name=b"a"))), len(header(Member(name=b"a" * 200)))
    (512, 1536)
    """
    records: dict[bytes, bytes] = {}
    prefix, name = _split(member.name)
    if not name:
        records[b"path"], name = member.name, member.name[:100]
    if len(member.link) > 100:
        records[b"linkpath"] = member.link
    for key, value, limit in (
        (b"size", member.size, 1 << 33),
        (b"uid", member.uid, 1 << 21),
        (b"gid", member.gid, 1 << 21),
        (b"mtime", member.mtime, 1 << 33),
    ):
        if not 0 <= value < limit:
            records[key] = b"%d" % value
    if member.nanoseconds:
        records[b"mtime"] = _time(member)
    if member.sparse >= 0:
        records |= {
            b"GNU.sparse.major": b"1",
            b"GNU.sparse.minor": b"0",
            b"GNU.sparse.name": member.name,
            b"GNU.sparse.realsize": b"%d" % member.sparse,
        }
    for xattr in sorted(member.xattrs):
        records[b"SCHILY.xattr." + os.fsencode(xattr)] = member.xattrs[xattr]
    block = _block(member, name, prefix)
    if not records:
        return block
    body = b"".join(_record(key, value) for key, value in records.items())
    extended = Member(name=b"PaxHeaders.0/" + name.rstrip(b"/")[-80:], type=b"x", size=len(body))
    return _block(extended, extended.name, b"") + body + padding(len(body)) + block


def sparse_map(pieces: Sequence[tuple[int, int]]) -> bytes:
    """Before the data of a sparse file: how many (offset, length) there are, and which."""
    numbers = [len(pieces), *(number for piece in pieces for number in piece)]
    text = b"".join(b"%d\n" % number for number in numbers)
    return text + padding(len(text))


def _time(member: Member) -> bytes:
    """Seconds with a fraction, without going through a float."""
    total = member.mtime * 1_000_000_000 + member.nanoseconds
    sign, total = (b"-", -total) if total < 0 else (b"", total)
    return sign + b"%d.%09d" % divmod(total, 1_000_000_000)


def padding(size: int) -> bytes:
    """Zeros up to the next block."""
    return b"\0" * (-size % BLOCK)


def _split(name: bytes) -> tuple[bytes, bytes]:
    """(prefix, name) as ustar wants them; (b"", b"") where they do not fit."""
    if len(name) <= 100:
        return b"", name
    if len(name) > 256:
        return b"", b""
    cut = name.find(b"/", max(0, len(name) - 101), 156)
    if cut <= 0 or cut > 155 or not 0 < len(name) - cut - 1 <= 100:
        return b"", b""
    return name[:cut], name[cut + 1 :]


def _record(key: bytes, value: bytes) -> bytes:
    """`LENGTH KEY=VALUE\\n`, the length counting its own digits."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return b"%d" % length + rest


def _block(member: Member, name: bytes, prefix: bytes) -> bytes:
    major, minor = os.major(member.device), os.minor(member.device)
    fields = (
        (name, 100),
        (_octal(member.mode, 8), 8),
        (_octal(member.uid, 8), 8),
        (_octal(member.gid, 8), 8),
        (_octal(member.size, 12), 12),
        (_octal(member.mtime, 12), 12),
        (b" " * 8, 8),
        (member.type, 1),
        (member.link[:100], 100),
        (b"ustar\x0000", 8),
        (b"", 32),
        (b"", 32),
        (_octal(major, 8), 8),
        (_octal(minor, 8), 8),
        (prefix, 155),
        (b"", 12),
    )
    block = b"".join(value.ljust(width, b"\0") for value, width in fields)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _octal(value: int, width: int) -> bytes:
    """Digits and a zero byte; 0 where a pax record says it better."""
    text = b"%0*o" % (width - 1, max(value, 0))
    return text if len(text) < width else b"0" * (width - 1)
