"""Open files below a directory that somebody else wrote, as if it were the root: openat2(2).

Symbolic links inside (absolute ones and `..` as well) resolve within the directory and never
outside, whatever changes in it meanwhile.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from pathlib import Path, PurePosixPath

_OPENAT2 = 437  # the same number on every architecture
_RESOLVE_IN_ROOT = 0x10
_RESOLVE_NO_MAGICLINKS = 0x02
_MOST_LINKS = 40


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_libc = ctypes.CDLL(None, use_errno=True)


def open_in_root(root: Path, path: str, flags: int = os.O_RDONLY) -> int:
    """A file descriptor of `path` inside `root`. Raises `OSError` (the caller closes the fd).

    Nothing is ever created; O_CLOEXEC is added.
    """
    top = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        how = _How(flags | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
        fd: int = _libc.syscall(
            _OPENAT2, top, path.lstrip("/").encode() or b".", ctypes.byref(how), ctypes.sizeof(how)
        )
        if fd >= 0:
            return fd
        code = ctypes.get_errno()
        if code not in (errno.ENOSYS, errno.EPERM):
            raise OSError(code, os.strerror(code), path)
        return _step_by_step(top, path, flags | os.O_CLOEXEC)  # kernel < 5.6, or a seccomp filter
    finally:
        os.close(top)


def read_in_root(root: Path, path: str, limit: int) -> bytes | None:
    """The first `limit` bytes of a regular file inside `root`; None when there is no such file."""
    try:
        fd = open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
        raise
    with os.fdopen(fd, "rb") as file:
        return file.read(limit) if stat.S_ISREG(os.fstat(fd).st_mode) else None


def _step_by_step(top: int, path: str, flags: int) -> int:
    """The same by hand: one component at a time, never following a link in the kernel."""
    trail = [os.dup(top)]
    todo = list(reversed(PurePosixPath("/", path).parts[1:]))
    links = 0
    try:
        while todo:
            part = todo.pop()
            if part == "..":
                if len(trail) > 1:
                    os.close(trail.pop())
                continue
            seen = os.stat(part, dir_fd=trail[-1], follow_symlinks=False)
            if stat.S_ISLNK(seen.st_mode):
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                target = os.readlink(part, dir_fd=trail[-1])
                if target.startswith("/"):
                    while len(trail) > 1:
                        os.close(trail.pop())
                todo += reversed([p for p in PurePosixPath(target).parts if p != "/"])
            elif todo:
                trail.append(
                    os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=trail[-1])
                )
            else:
                return os.open(part, flags | os.O_NOFOLLOW, dir_fd=trail[-1])
        return os.open(".", flags, dir_fd=trail[-1])
    finally:
        for fd in trail:
            os.close(fd)
