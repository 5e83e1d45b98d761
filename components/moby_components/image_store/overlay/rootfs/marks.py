"""How overlayfs writes "deleted" and "hides what is below" on a disk.

A deleted name is a character device 0:0 (any user may make one since Linux 5.8), or an empty file
with the attribute overlay.whiteout; a directory that hides the one below has overlay.opaque = "y".
The attributes live in `trusted.` for root and in `user.` inside a user namespace (userxattr).
"""

from __future__ import annotations

import errno
import os
import stat

TRUSTED, USER = "trusted.overlay.", "user.overlay."
_PREFIXES = (TRUSTED, USER)
_ABSENT = (errno.ENODATA, errno.ENOTSUP, errno.EPERM)

Where = int | bytes
"""A descriptor, or a path whose last component is not followed."""


def attribute(where: Where, name: str) -> bytes:
    """An attribute of overlayfs in either spelling, b"" where there is none."""
    for prefix in _PREFIXES:
        try:
            if isinstance(where, int):
                return os.getxattr(where, prefix + name)
            return os.getxattr(where, prefix + name, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _ABSENT:
                raise
    return b""


def is_whiteout(found: os.stat_result, where: Where) -> bool:
    """Whether this entry of a layer says "deleted"."""
    if stat.S_ISCHR(found.st_mode):
        return found.st_rdev == 0
    return stat.S_ISREG(found.st_mode) and not found.st_size and bool(attribute(where, "whiteout"))


def is_opaque(where: Where) -> bool:
    """Whether this directory hides the one below it."""
    return attribute(where, "opaque") == b"y"


def whiteout(name: bytes, directory: int) -> None:
    """Make a "deleted" mark in the directory."""
    os.mknod(name, stat.S_IFCHR, 0, dir_fd=directory)


def make_opaque(directory: int, prefix: str) -> None:
    os.setxattr(directory, prefix + "opaque", b"y")
