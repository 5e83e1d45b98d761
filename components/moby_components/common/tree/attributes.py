"""What belongs to a file besides its content, read and given by descriptors."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

OVERLAY = ("trusted.overlay.", "user.overlay.")
"""Overlayfs's own: it would take them as orders."""
FORBIDDEN = (errno.EPERM, errno.EINVAL, errno.EOVERFLOW, errno.ENOTSUP)
"""What a file system or a user namespace says to an owner or attribute that it does not take."""


def xattrs(where: bytes | int) -> dict[str, bytes]:
    """Extended attributes of a descriptor, or of a path whose last link is not followed."""
    follow = isinstance(where, int)
    result: dict[str, bytes] = {}
    try:
        names = os.listxattr(where) if follow else os.listxattr(where, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.EPERM, errno.ENOENT, errno.EBADF):
            return result
        raise
    for name in names:
        if name.startswith(OVERLAY):
            continue
        with contextlib.suppress(OSError):  # gone meanwhile, or not for this user to see
            result[name] = (
                os.getxattr(where, name) if follow else os.getxattr(where, name, follow_symlinks=False)
            )
    return result


def give(found: os.stat_result, attributes: dict[str, bytes], directory: int, name: bytes) -> None:
    """Owner, attributes, mode and times to `name` in an open directory; what this user namespace does
    not map or permit is left out."""
    with contextlib.suppress(*_forbidden()):
        os.chown(name, found.st_uid, found.st_gid, dir_fd=directory, follow_symlinks=False)
    target = b"/proc/self/fd/%d/%s" % (directory, name)
    for key, value in attributes.items():
        with contextlib.suppress(OSError):
            os.setxattr(target, key, value, follow_symlinks=False)
    if not stat.S_ISLNK(found.st_mode):
        os.chmod(name, stat.S_IMODE(found.st_mode), dir_fd=directory)
    os.utime(name, ns=(found.st_atime_ns, found.st_mtime_ns), dir_fd=directory, follow_symlinks=False)


def give_open(found: os.stat_result, attributes: dict[str, bytes], descriptor: int) -> None:
    """The same to an open file or directory."""
    with contextlib.suppress(*_forbidden()):
        os.fchown(descriptor, found.st_uid, found.st_gid)
    for key, value in attributes.items():
        with contextlib.suppress(OSError):
            os.setxattr(descriptor, key, value)
    os.fchmod(descriptor, stat.S_IMODE(found.st_mode))
    os.utime(descriptor, ns=(found.st_atime_ns, found.st_mtime_ns))


def _forbidden() -> tuple[type[OSError], ...]:
    return (OSError,) if os.geteuid() else (PermissionError,)
