"""Tar entries -> files in an empty directory.

Owners, modes with their set-id bits, times, extended attributes, hard links, devices, fifos and
sparse files come out as they are in the archive. Directories are closed to all but us while the
work goes on; they get their own attributes at the end, when nothing below them changes any more.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from moby_components.image_store.overlay.unpack import header
from moby_components.image_store.overlay.unpack.facts import Facts
from moby_components.image_store.overlay.unpack.header import Entry, TarReader
from moby_components.image_store.overlay.unpack.inflate import Inflater
from moby_components.image_store.overlay.unpack.limits import Limits
from moby_components.image_store.overlay.unpack.names import AUFS, OPAQUE, WHITEOUT, clean, show
from moby_components.image_store.overlay.unpack.source import Source
from moby_components.image_store.overlay.unpack.tree import OPEN_DIR, DirTree
from moby_py.errors import DataError, MobyError, Unavailable

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NODES = {header.CHAR: stat.S_IFCHR, header.BLOCK_DEVICE: stat.S_IFBLK, header.FIFO: stat.S_IFIFO}
_OVERLAY = (b"trusted.overlay.", b"user.overlay.")
_UNMAPPED = (errno.EPERM, errno.EINVAL, errno.EOVERFLOW)
_NO_XATTR = (errno.ENOTSUP, errno.EPERM, errno.EINVAL)


def unpack(blob: Path, target: Path, *, limits: Limits, what: str, rootless: bool = False) -> Facts:
    """Unpack one layer blob into the empty directory `target`.

    `rootless`: owners that this user namespace does not map, device nodes and attributes that it
    may not set are left out and counted in the notes. Raises DataError for a layer that is not
    what it should be, Unavailable when the disk is full; the caller throws `target` away then.
    """
    with blob.open("rb", buffering=0) as raw:
        inflater = Inflater(raw, limits, what)
        try:
            source = Source(inflater, what)
            with DirTree(os.open(target, OPEN_DIR), what) as tree:
                extractor = Extractor(tree, what, rootless=rootless)
                extractor.run(TarReader(source, limits))
            source.drain()
        except MobyError:
            raise
        except OSError as error:
            raise failed(what, error) from error
        finally:
            inflater.close()
        extractor.facts.diff_id = inflater.digest
        return extractor.facts


def failed(what: str, error: OSError) -> MobyError:
    """An error of the operating system in the words of a user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Unavailable(f"cannot unpack {what} - no space left on the disk", hint="free some space")
    return DataError(f"cannot unpack {what} - {(error.strerror or str(error)).lower()}")


class Extractor:
    """One layer on its way to the disk."""

    def __init__(self, tree: DirTree, what: str, *, rootless: bool) -> None:
        self.tree = tree
        self.what = what
        self.rootless = rootless
        self.facts = Facts()
        self._directories: dict[bytes, Entry] = {}
        self._uid, self._gid = os.geteuid(), os.getegid()

    def run(self, reader: TarReader) -> None:
        """All entries, then the attributes of the directories."""
        for entry in reader:
            self.facts.entries += 1
            path = clean(entry.name, self.what)
            name = path.rpartition(b"/")[2]
            if name.startswith(WHITEOUT):
                self._whiteout(path, name)
            elif entry.type == header.DIRECTORY:
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

    def _whiteout(self, path: bytes, name: bytes) -> None:
        parent = path.rpartition(b"/")[0]
        if name == OPAQUE:
            self.tree.directory(parent, create=True)
            self.facts.opaque.append(parent)
        elif not name.startswith(AUFS):
            hidden = name[len(WHITEOUT) :]
            if hidden in (b"", b".", b".."):
                raise DataError(f"cannot unpack {self.what} - {show(path)} points out of the layer")
            self.tree.directory(parent, create=True)
            self.facts.whiteouts.append(parent + b"/" + hidden if parent else hidden)

    def _directory(self, path: bytes, entry: Entry) -> None:
        if path:
            parent, name = self.tree.locate(path, create=True)
            try:
                os.mkdir(name, 0o700, dir_fd=parent)
            except FileExistsError:
                found = self.tree.lstat(path)
                if found is not None and not stat.S_ISDIR(found.st_mode):
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
        self.facts.size += entry.real_size

    def _write_sparse(self, descriptor: int, entry: Entry, reader: TarReader) -> None:
        body = Source((bytes(piece) for piece in reader.body()), self.what)
        for offset, length in entry.sparse or ():
            os.lseek(descriptor, offset, os.SEEK_SET)
            for piece in body.pieces(length):
                _write(descriptor, piece)
        os.ftruncate(descriptor, entry.real_size)

    def _hardlink(self, path: bytes, entry: Entry) -> None:
        target = clean(entry.link, self.what)
        if not target or target == path:
            raise DataError(
                f"cannot unpack {self.what} - {show(path)} is a hard link to itself or to nothing"
            )
        found = self.tree.lstat(target)
        if found is None:
            self.tree.locate(path, create=True)  # the name's own parents still are directories here
            self.facts.links.append((path, target))
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
                if not (self.rootless and error.errno == errno.EPERM):
                    raise
                self.facts.notes["device nodes left out"] += 1
                return
        if entry.uid != self._uid or entry.gid != self._gid:
            self._chown((parent, name), entry)
        if entry.type != header.SYMLINK:
            # The node was made a moment ago in a directory that only we can enter: not a link.
            os.chmod(name, entry.mode & 0o7777, dir_fd=parent)
        if entry.xattrs:
            self._xattrs(self.tree.proc_path(path), entry)
        os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)

    def _replace(self, path: bytes) -> None:
        """A later entry of the same name wins, as when the archive is laid over itself."""
        found = self.tree.lstat(path)
        if found is None:
            return
        if stat.S_ISDIR(found.st_mode):
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
        self.facts.implicit = sorted(self.tree.implicit, key=lambda path: (path.count(b"/"), path))
        if b"" not in self._directories:
            self.facts.implicit.insert(0, b"")

    def _mode(self, entry: Entry, least: int) -> int:
        """Without any privilege, what is closed to its owner is closed to us too: it could neither be
        copied for a container nor deleted."""
        mode = entry.mode & 0o7777
        if self._uid and mode & least != least:
            self.facts.notes["files closed to their owner opened to it"] += 1
            return mode | least
        return mode

    def _chown(self, where: int | tuple[int, bytes], entry: Entry) -> None:
        if not (0 <= entry.uid < 0xFFFFFFFF and 0 <= entry.gid < 0xFFFFFFFF):
            raise DataError(f"cannot unpack {self.what} - owner {entry.uid}:{entry.gid} is out of range")
        try:
            if isinstance(where, int):
                os.fchown(where, entry.uid, entry.gid)
            else:
                os.chown(where[1], entry.uid, entry.gid, dir_fd=where[0], follow_symlinks=False)
        except OSError as error:
            if not (self.rootless and error.errno in _UNMAPPED):
                raise
            self.facts.notes["owners that this user may not use became its own"] += 1

    def _xattrs(self, where: int | bytes, entry: Entry) -> None:
        for name, value in entry.xattrs.items():
            if name.startswith(_OVERLAY):
                # Overlayfs would take these as orders (redirects, whiteouts) from whoever made the image.
                self.facts.notes["attributes of overlayfs itself left out"] += 1
                continue
            try:
                if isinstance(where, int):
                    os.setxattr(where, name, value)
                else:
                    os.setxattr(where, name, value, follow_symlinks=False)
            except OSError as error:
                if error.errno not in _NO_XATTR:
                    raise
                self.facts.notes[f"attributes {name.decode('utf-8', 'replace')} left out"] += 1


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
