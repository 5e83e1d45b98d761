"""A directory that is only ever entered through descriptors: no path in an archive leads out of it.

Every component is opened with O_NOFOLLOW relative to its parent, so a symbolic link in the place of
a directory is an error and never a way. Open descriptors of recent directories are kept.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from types import TracebackType

from moby_components.common.tree.names import show
from moby_py.errors import DataError

OPEN_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KEPT = 64


class DirTree:
    """`implicit` collects the directories that were made only because something lies below them."""

    def __init__(self, root: int, what: str, resolve: Callable[[bytes], int] | None = None) -> None:
        """Takes the descriptor `root` over. `resolve`: opens a directory that is reached through links,
        within whatever confines its maker; without it links are refused."""
        self._root = root
        self._resolve = resolve
        self._what = what
        self._open: dict[bytes, int] = {}
        self.implicit: set[bytes] = set()

    def __enter__(self) -> DirTree:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()
        os.close(self._root)

    def directory(self, path: bytes, *, create: bool = False) -> int:
        """A descriptor of the directory, ours to keep. Raises FileNotFoundError unless `create`."""
        if not path:
            return self._root
        found = self._open.get(path)
        if found is not None:
            return found
        head, _, name = path.rpartition(b"/")
        parent = self.directory(head, create=create)
        try:
            descriptor = os.open(name, OPEN_DIR, dir_fd=parent)
        except FileNotFoundError:
            if not create:
                raise
            os.mkdir(name, 0o700, dir_fd=parent)
            self.implicit.add(path)
            descriptor = os.open(name, OPEN_DIR, dir_fd=parent)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            descriptor = self._through(path)
        if len(self._open) >= _KEPT:
            self._evict(head)
        self._open[path] = descriptor
        return descriptor

    def locate(self, path: bytes, *, create: bool = False) -> tuple[int, bytes]:
        """(descriptor of the parent directory, last name). Valid until the next call."""
        head, _, name = path.rpartition(b"/")
        return self.directory(head, create=create), name

    def lstat(self, path: bytes) -> os.stat_result | None:
        """The entry itself; None where there is none."""
        if not path:
            return os.fstat(self._root)
        try:
            parent, name = self.locate(path)
            return os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def proc_path(self, path: bytes) -> bytes:
        """A path for the calls that know no descriptors; its last component is not followed by
        lsetxattr and the like, and the ones before are the kernel's own."""
        if not path:
            return b"/proc/self/fd/%d" % self._root
        parent, name = self.locate(path)
        return b"/proc/self/fd/%d/%s" % (parent, name)

    def remove(self, path: bytes) -> None:
        """The entry and all below it. Nothing where there is none."""
        found = self.lstat(path)
        if found is None:
            return
        if not stat.S_ISDIR(found.st_mode):
            parent, name = self.locate(path)
            os.unlink(name, dir_fd=parent)
            return
        for below in os.listdir(self.directory(path)):  # noqa: PTH208 - a descriptor has no Path
            self.remove(path + b"/" + os.fsencode(below))
        self.forget(path)
        parent, name = self.locate(path)
        os.rmdir(name, dir_fd=parent)

    def forget(self, path: bytes) -> None:
        """Drop what is known of a directory that is going away."""
        below = path + b"/"
        for known in [p for p in self._open if p == path or p.startswith(below)]:
            os.close(self._open.pop(known))
        self.implicit = {p for p in self.implicit if p != path and not p.startswith(below)}

    def _evict(self, keep: bytes) -> None:
        """Close the older half, but not the directory that is just being worked in."""
        for path in list(self._open)[: _KEPT // 2]:
            if path != keep:
                os.close(self._open.pop(path))

    def _through(self, path: bytes) -> int:
        if self._resolve is None:
            raise self._crossed(path)
        try:
            return self._resolve(path)
        except OSError:
            raise self._crossed(path) from None

    def _crossed(self, path: bytes) -> DataError:
        return DataError(f"cannot unpack {self._what} - {show(path)} is used as a directory but is not one")
