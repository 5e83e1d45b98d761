"""A directory tree -> the bytes of a tar, while others may be writing in it.

Directories are entered by descriptors only (`DirTree`), files are opened without following links, and
what vanishes or changes meanwhile is left out or padded: the archive is always whole.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace

from moby_components.common.tree import holes
from moby_components.common.tree.attributes import xattrs
from moby_components.common.tree.dirs import DirTree
from moby_components.common.tree.limits import MAX_DEPTH
from moby_components.common.tree.pax import MAX_SPARSE
from moby_components.common.tree.tarring import END, Member, header, member_of, padding, sparse_map
from moby_py.errors import DataError

Write = Callable[[bytes], object]
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_PIECE = 1 << 20
_CHANGED = (errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.ENOTDIR)
"""A file that is gone, or is a link or a socket by now."""
_SMALLEST_HOLE = 1 << 16
"""Below this a map is not worth its block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """`exact` keeps nanoseconds and holes, which `docker cp` and layers do not."""

    exact: bool = True
    skip: Callable[[bytes], bool] | None = None
    """Names relative to the top that are left out, with all below them."""


def pack(top: int, write: Write, *, name: bytes = b".", packing: Packing = Packing()) -> None:
    """The directory of the descriptor `top` (which stays the caller's) as `name/`, and all below it.
    Hard links are kept, sockets are left out. No end of archive is written. Blocking; raises DataError
    for a tree that no archive can name, and what `write` raises."""
    _Packer(write, packing).tree(top, name)


def pack_below(top: int, write: Write, *, packing: Packing = Packing()) -> None:
    """All below the directory of `top`, by names relative to it and without an entry for itself."""
    _Packer(write, packing).tree(top, None)


def pack_one(parent: int, name: bytes, write: Write, *, shown: bytes, packing: Packing = Packing()) -> None:
    """One entry of the open directory `parent`, whatever it is, under the name `shown`."""
    packer = _Packer(write, packing)
    found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if stat.S_ISDIR(found.st_mode):
        top = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            packer.tree(top, shown)
        finally:
            os.close(top)
    else:
        packer.entry(parent, name, shown, found)


def end(write: Write) -> None:
    write(END)


class _Packer:
    def __init__(self, write: Write, packing: Packing) -> None:
        self._write = write
        self._packing = packing
        self._links: dict[tuple[int, int], bytes] = {}

    def tree(self, top: int, shown: bytes | None) -> None:
        with DirTree(os.dup(top), "the tree") as tree:
            todo = [b""]
            while todo:
                path = todo.pop()
                try:
                    descriptor = tree.directory(path)
                except (FileNotFoundError, DataError):
                    continue  # gone, or something else by now
                todo += reversed(self._folder(descriptor, path, _joined(shown, path) if path else shown))

    def _folder(self, descriptor: int, path: bytes, shown: bytes | None) -> list[bytes]:
        """Its own entry and its files'; the directories in it are returned."""
        if path.count(b"/") >= MAX_DEPTH:
            raise DataError(f"cannot pack the tree - a path is more than {MAX_DEPTH} directories deep")
        found = os.fstat(descriptor)
        if shown is not None:
            self._header(member_of(shown, found), found, descriptor)
        below: list[bytes] = []
        skip = self._packing.skip
        for text in sorted(os.listdir(descriptor)):
            name = os.fsencode(text)
            inner = path + b"/" + name if path else name
            if skip is not None and skip(inner):
                continue
            try:
                seen = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if stat.S_ISDIR(seen.st_mode):
                    below.append(inner)
                else:
                    self.entry(descriptor, name, _joined(shown, name), seen)
            except OSError as error:
                if error.errno not in _CHANGED:
                    raise
        return below

    def entry(self, parent: int, name: bytes, shown: bytes, found: os.stat_result) -> None:
        """Anything but a directory."""
        key = (found.st_dev, found.st_ino)
        if found.st_nlink > 1 and key in self._links:
            link = Member(name=shown, type=b"1", mode=stat.S_IMODE(found.st_mode), link=self._links[key])
            link.uid, link.gid = found.st_uid, found.st_gid
            link.mtime = found.st_mtime_ns // 1_000_000_000
            self._write(header(link))
            return
        if stat.S_ISREG(found.st_mode):
            if not self._file(parent, name, shown):
                return
        else:
            target = os.readlink(name, dir_fd=parent) if stat.S_ISLNK(found.st_mode) else b""
            member = member_of(shown, found, link=target)
            if member is None:
                return
            self._header(member, found, b"/proc/self/fd/%d/%s" % (parent, name))
        if found.st_nlink > 1:
            self._links[key] = shown

    def _file(self, parent: int, name: bytes, shown: bytes) -> bool:
        descriptor = os.open(name, _READ, dir_fd=parent)
        try:
            found = os.fstat(descriptor)
            member = member_of(shown, found)
            if member is None or not stat.S_ISREG(found.st_mode):
                return False  # replaced meanwhile
            parts = self._parts(descriptor, found)
            if parts is None:
                self._header(member, found, descriptor)
                self._data(descriptor, 0, found.st_size)
                self._write(padding(found.st_size))
            else:
                table = sparse_map(parts)
                held = sum(length for _, length in parts)
                member.sparse, member.size = found.st_size, len(table) + held
                self._header(member, found, descriptor)
                self._write(table)
                for offset, length in parts:
                    self._data(descriptor, offset, length)
                self._write(padding(held))
        finally:
            os.close(descriptor)
        return True

    def _parts(self, descriptor: int, found: os.stat_result) -> list[tuple[int, int]] | None:
        """Of a file with holes worth the trouble, what it holds."""
        size = found.st_size
        if not self._packing.exact or size - found.st_blocks * 512 < _SMALLEST_HOLE:
            return None
        parts: list[tuple[int, int]] = []
        for part in holes.pieces(descriptor, size):
            parts.append(part)
            if len(parts) > MAX_SPARSE:
                return None
        if sum(length for _, length in parts) == size:
            return None
        # A hole at the end is told by a last piece of nothing, as GNU tar does.
        return parts if parts and sum(parts[-1]) == size else [*parts, (size, 0)]

    def _data(self, descriptor: int, offset: int, length: int) -> None:
        """Exactly that many bytes: what is missing by now is zeros."""
        while length:
            piece = os.pread(descriptor, min(length, _PIECE), offset)
            if not piece:
                piece = bytes(min(length, _PIECE))
            self._write(piece)
            offset += len(piece)
            length -= len(piece)

    def _header(self, member: Member | None, found: os.stat_result, where: bytes | int) -> None:
        if member is None:
            return
        member.xattrs = xattrs(where)
        if self._packing.exact:
            member = replace(member, nanoseconds=found.st_mtime_ns % 1_000_000_000)
        self._write(header(member))


def _joined(shown: bytes | None, name: bytes) -> bytes:
    return name if shown is None else shown + b"/" + name
