"""One directory tree copied into another with everything that belongs to it. Both are entered by
descriptors only, so that no link in either leads out of it."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable

from moby_components.common.tree import holes
from moby_components.common.tree.attributes import give, give_open, xattrs
from moby_components.common.tree.dirs import DirTree
from moby_components.common.tree.extract import link
from moby_py.errors import DataError

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def copy_tree(source: int, target: int, *, check: Callable[[], object] = bool) -> None:
    """All below the directory `source` into the empty directory `target`, and its own attributes too
    (both descriptors stay the caller's). Hard links, holes, times and extended attributes are kept, and
    blocks are shared where the file system can; device nodes and owners that this user namespace does
    not know are left out. What vanishes meanwhile is passed over. `check` is called now and then, and
    may raise to end it. Blocking; raises OSError."""
    with DirTree(os.dup(source), "the tree") as old, DirTree(os.dup(target), "the copy") as new:
        links: dict[tuple[int, int], bytes] = {}
        todo: list[tuple[bytes, bool]] = [(b"", False)]
        while todo:
            path, below_done = todo.pop()
            check()
            try:
                reading = old.directory(path)
            except (FileNotFoundError, DataError):
                continue  # gone, or something else by now
            if below_done:  # its times too: nothing is made in it any more
                give_open(os.fstat(reading), xattrs(reading), new.directory(path))
                continue
            todo.append((path, True))
            todo += ((inner, False) for inner in _folder(reading, path, new, links))


def _folder(reading: int, path: bytes, new: DirTree, links: dict[tuple[int, int], bytes]) -> list[bytes]:
    """The files of one directory; the directories in it are made, and returned."""
    below = []
    for text in sorted(os.listdir(reading)):
        name = os.fsencode(text)
        inner = path + b"/" + name if path else name
        with contextlib.suppress(FileNotFoundError):
            seen = os.stat(name, dir_fd=reading, follow_symlinks=False)
            key = (seen.st_dev, seen.st_ino)
            if stat.S_ISDIR(seen.st_mode):
                os.mkdir(name, 0o700, dir_fd=new.directory(path))
                below.append(inner)
            elif seen.st_nlink > 1 and key in links:
                link(new, links[key], inner)
            elif _entry(reading, name, seen, new.directory(path)) and seen.st_nlink > 1:
                links[key] = inner
    return below


def _entry(reading: int, name: bytes, seen: os.stat_result, writing: int) -> bool:
    """A copy of anything but a directory; False where there can be none."""
    if stat.S_ISREG(seen.st_mode):
        original = os.open(name, _READ, dir_fd=reading)
        try:
            found = os.fstat(original)
            if not stat.S_ISREG(found.st_mode):
                return False  # replaced meanwhile
            copy = os.open(name, _CREATE, 0o600, dir_fd=writing)
            try:
                holes.copy_data(original, copy)
                give_open(found, xattrs(original), copy)
            finally:
                os.close(copy)
        finally:
            os.close(original)
        return True
    if stat.S_ISLNK(seen.st_mode):
        os.symlink(os.readlink(name, dir_fd=reading), name, dir_fd=writing)
    elif stat.S_ISSOCK(seen.st_mode):
        return False  # nobody listens on a copy
    else:
        try:
            os.mknod(name, stat.S_IFMT(seen.st_mode) | 0o600, seen.st_rdev, dir_fd=writing)
        except PermissionError:
            return False
    give(seen, xattrs(b"/proc/self/fd/%d/%s" % (reading, name)), writing, name)
    return True
