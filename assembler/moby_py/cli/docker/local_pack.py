"""A local file or tree as the pieces of a tar, for `cp` into a container. Nothing is held in memory but
the names of one folder at a time."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

PIECE = 1 << 20
_TYPES = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}
_END = bytes(2 * tarfile.BLOCKSIZE)


def pack(path: Path, name: str) -> Iterator[bytes]:
    """`path`, and all below it, under `name`. Links are packed, not followed; sockets are left out.
    Raises OSError."""
    links: dict[tuple[int, int], str] = {}
    todo = [(path, name)]
    while todo:
        here, shown = todo.pop()
        found = here.lstat()
        info = _info(here, shown, found, links)
        if info is None:
            continue
        if info.isreg():
            yield from _file(here, info)
            continue
        yield _header(info)
        if info.isdir():
            todo += [(below, f"{shown}/{below.name}") for below in sorted(here.iterdir(), reverse=True)]
    yield _END


def _info(
    path: Path, name: str, found: os.stat_result, links: dict[tuple[int, int], str]
) -> tarfile.TarInfo | None:
    kind = _TYPES.get(stat.S_IFMT(found.st_mode))
    if kind is None:
        return None
    info = tarfile.TarInfo(name)
    info.type = kind
    info.mode = stat.S_IMODE(found.st_mode)
    info.uid, info.gid, info.mtime = found.st_uid, found.st_gid, int(found.st_mtime)
    if kind == tarfile.SYMTYPE:
        info.linkname = str(path.readlink())
    elif kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        info.devmajor, info.devminor = os.major(found.st_rdev), os.minor(found.st_rdev)
    if found.st_nlink > 1 and kind != tarfile.DIRTYPE:
        first = links.setdefault((found.st_dev, found.st_ino), name)
        if first != name:
            info.type, info.linkname = tarfile.LNKTYPE, first
    return info


def _file(path: Path, info: tarfile.TarInfo) -> Iterator[bytes]:
    """The size is what it is when the file is opened; one that shrinks meanwhile ends in zeros."""
    with path.open("rb") as file:
        info.size = left = os.fstat(file.fileno()).st_size
        yield _header(info)
        while left:
            piece = file.read(min(left, PIECE)) or bytes(min(left, PIECE))
            left -= len(piece)
            yield piece
    yield bytes(-info.size % tarfile.BLOCKSIZE)


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
