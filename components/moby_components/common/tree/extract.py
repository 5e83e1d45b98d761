"""Tar entries -> files below an open directory.

Owners, modes with their set-id bits, times, extended attributes, hard links, devices, fifos and
sparse files come out as they are in the archive. New directories are closed to all but us while the
work goes on; directories get their own attributes at the end, when nothing below them changes any more.
Every step is taken relative to a descriptor: whoever else writes in the tree cannot lead us out of it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from moby_components.common.tree import header
from moby_components.common.tree.dirs import DirTree
from moby_components.common.tree.header import Entry, TarReader
from moby_components.common.tree.names import clean, show
from moby_components.common.tree.source import Source
from moby_py.errors import DataError, InvalidArgument, MobyError, Unavailable

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NODES = {header.CHAR: stat.S_IFCHR, header.BLOCK_DEVICE: stat.S_IFBLK, header.FIFO: stat.S_IFIFO}
_OVERLAY = (b"trusted.overlay.", b"user.overlay.")
_UNMAPPED = (errno.EPERM, errno.EINVAL, errno.EOVERFLOW)
_NO_XATTR = (errno.ENOTSUP, errno.EPERM, errno.EINVAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """`what` names the archive in errors, `unit` is the word for it ("layer").

    lenient:    owners and attributes that this user namespace may not give are left out and noted
    devices:    what becomes of device nodes that cannot be made
    absolute:   whether a name may begin with a slash (it is meant from the top of the tree)
    owner:      (uid, gid) of everything, instead of what the archive says
    mix:        whether a file may take the place of a directory, and the other way round
    """

    what: str
    unit: str = "archive"
    lenient: bool = False
    devices: Literal["refuse", "skip"] = "refuse"
    absolute: bool = True
    owner: tuple[int, int] | None = None
    mix: bool = True


def failed(what: str, error: OSError) -> MobyError:
    """An error of the operating system in the words of a user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Unavailable(f"cannot unpack {what} - no space left on the disk", hint="free some space")
    return DataError(f"cannot unpack {what} - {(error.strerror or str(error)).lower()}")


class Extractor:
    """One archive on its way to the disk. `size` bytes of regular files, `notes` on what was not kept."""

    def __init__(self, tree: DirTree, rules: Rules) -> None:
        self.tree = tree
        self.what = rules.what
        self.rules = rules
        self.size = self.entries = 0
        self.notes: Counter[str] = Counter()
        self._directories: dict[bytes, Entry] = {}
        self._uid, self._gid = os.geteuid(), os.getegid()

    def run(self, reader: TarReader) -> None:
        """All entries, then the attributes of the directories."""
        for entry in reader:
            self.entries += 1
            if entry.name.startswith(b"/") and not self.rules.absolute:
                raise DataError(f"cannot unpack {self.what} - {show(entry.name)} is an absolute name")
            path = clean(entry.name, self.what, self.rules.unit)
            if self.rules.owner is not None:
                entry.uid, entry.gid = self.rules.owner
            if self.marks(path):
                continue
            if entry.type == header.DIRECTORY:
                self._directory(path, entry)
            elif not path:
                raise DataError(f"cannot unpack {self.what} - an entry without a name")
            elif entry.type == header.REGULAR:
                self._file(path, entry, reader)
            elif entry.type == header.HARDLINK:
                self._hardlink(path, entry)
            else:
                self._special(path, entry)
        self._finish()

    def marks(self, path: bytes) -> bool:
        """Whether this name is an order and no file; carried out by the subclass."""
        return False

    def unknown_link(self, path: bytes, target: bytes) -> None:
        """A hard link to what is not there."""
        raise DataError(
            f"cannot unpack {self.what} - {show(path)} is a hard link to {show(target)}, which is missing"
        )

    def implied(self, path: bytes) -> None:
        """A directory that the archive only implies, at the end."""
        descriptor = self.tree.directory(path)
        if self.rules.owner is not None:
            os.fchown(descriptor, *self.rules.owner)
        os.fchmod(descriptor, 0o755)

    def _directory(self, path: bytes, entry: Entry) -> None:
        if path:
            parent, name = self.tree.locate(path, create=True)
            try:
                os.mkdir(name, 0o700, dir_fd=parent)
            except FileExistsError:
                found = self.tree.lstat(path)
                if found is not None and not stat.S_ISDIR(found.st_mode):
                    if not self.rules.mix:
                        raise InvalidArgument(
                            f"cannot overwrite non-directory {show(path)} with directory"
                        ) from None
                    self._replace(path)
                    parent, name = self.tree.locate(path)
                    os.mkdir(name, 0o700, dir_fd=parent)
        self.tree.implicit.discard(path)
        self._directories[path] = entry

    def _file(self, path: bytes, entry: Entry, reader: TarReader) -> None:
        parent, name = self.tree.locate(path, create=True)
        try:
            descriptor = os.open(name, _CREATE, 0o600, dir_fd=parent)
        except FileExistsError:
            self._replace(path)
            parent, name = self.tree.locate(path)
            descriptor = os.open(name, _CREATE, 0o600, dir_fd=parent)
        try:
            if entry.sparse is not None:
                self._write_sparse(descriptor, entry, reader)
            elif entry.size:
                for piece in reader.body():
                    _write(descriptor, piece)
            if entry.uid != self._uid or entry.gid != self._gid:
                self._chown(descriptor, entry)
            os.fchmod(descriptor, self._mode(entry, 0o400))
            if entry.xattrs:
                self._xattrs(descriptor, entry)
            os.utime(descriptor, ns=(entry.mtime, entry.mtime))
        finally:
            os.close(descriptor)
        self.size += entry.real_size

    def _write_sparse(self, descriptor: int, entry: Entry, reader: TarReader) -> None:
        body = Source((bytes(piece) for piece in reader.body()), self.what)
        for offset, length in entry.sparse or ():
            os.lseek(descriptor, offset, os.SEEK_SET)
            for piece in body.pieces(length):
                _write(descriptor, piece)
        os.ftruncate(descriptor, entry.real_size)

    def _hardlink(self, path: bytes, entry: Entry) -> None:
        target = clean(entry.link, self.what, self.rules.unit)
        if not target or target == path:
            raise DataError(
                f"cannot unpack {self.what} - {show(path)} is a hard link to itself or to nothing"
            )
        found = self.tree.lstat(target)
        if found is None:
            self.tree.locate(path, create=True)  # the name's own parents still are directories here
            self.unknown_link(path, target)
            return
        if stat.S_ISDIR(found.st_mode):
            raise DataError(f"cannot unpack {self.what} - {show(path)} is a hard link to a directory")
        self._replace(path)
        link(self.tree, target, path)

    def _special(self, path: bytes, entry: Entry) -> None:
        self._replace(path)
        parent, name = self.tree.locate(path, create=True)
        if entry.type == header.SYMLINK:
            if not entry.link or b"\0" in entry.link:
                raise DataError(f"cannot unpack {self.what} - {show(path)} is a symbolic link to nothing")
            os.symlink(entry.link, name, dir_fd=parent)
        else:
            try:
                os.mknod(name, _NODES[entry.type] | 0o600, os.makedev(*entry.device), dir_fd=parent)
            except OSError as error:
                if error.errno != errno.EPERM:
                    raise
                if self.rules.devices == "refuse":
                    raise DataError(
                        f"cannot unpack {self.what} - {show(path)} is a device node, "
                        "which this platform may not make"
                    ) from None
                self.notes["device nodes left out"] += 1
                return
        if entry.uid != self._uid or entry.gid != self._gid:
            self._chown((parent, name), entry)
        if entry.type != header.SYMLINK:
            self._chmod(parent, name, entry.mode & 0o7777)
        if entry.xattrs:
            self._xattrs(self.tree.proc_path(path), entry)
        os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)

    def _replace(self, path: bytes) -> None:
        """A later entry of the same name wins, as when the archive is laid over itself."""
        found = self.tree.lstat(path)
        if found is None:
            return
        if stat.S_ISDIR(found.st_mode):
            if not self.rules.mix:
                raise InvalidArgument(f"cannot overwrite directory {show(path)} with non-directory")
            below = path + b"/"
            self._directories = {
                p: e for p, e in self._directories.items() if p != path and not p.startswith(below)
            }
        self.tree.remove(path)

    def _finish(self) -> None:
        """Deepest first: a directory that forbids entering is closed after all below it."""
        ordered = sorted(self._directories.items(), key=lambda item: item[0].count(b"/"), reverse=True)
        for path, entry in ordered:
            descriptor = self.tree.directory(path)
            if entry.uid != self._uid or entry.gid != self._gid:
                self._chown(descriptor, entry)
            if entry.xattrs:
                self._xattrs(descriptor, entry)
            os.fchmod(descriptor, self._mode(entry, 0o700))
            os.utime(descriptor, ns=(entry.mtime, entry.mtime))
        for path in sorted(self.tree.implicit, key=lambda path: (path.count(b"/"), path)):
            self.implied(path)

    def _mode(self, entry: Entry, least: int) -> int:
        """Without any privilege, what is closed to its owner is closed to us too: it could neither be
        copied for a container nor deleted."""
        mode = entry.mode & 0o7777
        if self._uid and mode & least != least:
            self.notes["files closed to their owner opened to it"] += 1
            return mode | least
        return mode

    def _chmod(self, parent: int, name: bytes, mode: int) -> None:
        """Of a node that is no file: whatever is there now, never what a link points at."""
        descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            if not stat.S_ISLNK(os.fstat(descriptor).st_mode):
                os.chmod(f"/proc/self/fd/{descriptor}", mode)  # noqa: PTH101
        finally:
            os.close(descriptor)

    def _chown(self, where: int | tuple[int, bytes], entry: Entry) -> None:
        if not (0 <= entry.uid < 0xFFFFFFFF and 0 <= entry.gid < 0xFFFFFFFF):
            raise DataError(f"cannot unpack {self.what} - owner {entry.uid}:{entry.gid} is out of range")
        try:
            if isinstance(where, int):
                os.fchown(where, entry.uid, entry.gid)
            else:
                os.chown(where[1], entry.uid, entry.gid, dir_fd=where[0], follow_symlinks=False)
        except OSError as error:
            if not (self.rules.lenient and error.errno in _UNMAPPED):
                raise
            self.notes["owners that this user may not use became its own"] += 1

    def _xattrs(self, where: int | bytes, entry: Entry) -> None:
        for name, value in entry.xattrs.items():
            if name.startswith(_OVERLAY):
                # Overlayfs would take these as orders (redirects, whiteouts) from whoever made the image.
                self.notes["attributes of overlayfs itself left out"] += 1
                continue
            try:
                if isinstance(where, int):
                    os.setxattr(where, name, value)
                else:
                    os.setxattr(where, name, value, follow_symlinks=False)
            except OSError as error:
                if error.errno not in _NO_XATTR:
                    raise
                self.notes[f"attributes {name.decode('utf-8', 'replace')} left out"] += 1


def link(tree: DirTree, existing: bytes, path: bytes) -> None:
    """A hard link inside the tree, never through a symbolic link."""
    parent, name = tree.locate(path, create=True)
    kept = os.dup(parent)  # the second look-up may put this descriptor out of the cache
    try:
        source, source_name = tree.locate(existing)
        os.link(source_name, name, src_dir_fd=source, dst_dir_fd=kept, follow_symlinks=False)
    finally:
        os.close(kept)


def _write(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
