"""One entry copied with everything that belongs to it: content, holes, owner, mode, attributes, times."""

from __future__ import annotations

import errno
import os
import stat

from moby_components.common.tree.attributes import xattrs

_CHUNK = 1 << 24
_FORBIDDEN = (errno.EPERM, errno.EINVAL, errno.EOVERFLOW, errno.ENOTSUP)


def copy_node(source: bytes, found: os.stat_result, directory: int, name: bytes, *, lenient: bool) -> None:
    """Make `name` in the open `directory` what `source` is; a directory comes without its content.

    `source`'s last component is not followed. `lenient`: owners and attributes that this user may
    not give are left out.
    """
    mode = found.st_mode
    if stat.S_ISREG(mode):
        _copy_file(source, directory, name)
    elif stat.S_ISDIR(mode):
        os.mkdir(name, 0o700, dir_fd=directory)
    elif stat.S_ISLNK(mode):
        os.symlink(os.readlink(source), name, dir_fd=directory)  # noqa: PTH115 - bytes
    else:
        try:
            os.mknod(name, stat.S_IFMT(mode) | 0o600, found.st_rdev, dir_fd=directory)
        except PermissionError:
            if not lenient:
                raise
            return
    copy_attributes(source, found, directory, name, lenient=lenient)


def copy_attributes(
    source: bytes, found: os.stat_result, directory: int, name: bytes, *, lenient: bool
) -> None:
    """Owner, mode, extended attributes and times of `source` onto `name`, which is no link to elsewhere."""
    try:
        os.chown(name, found.st_uid, found.st_gid, dir_fd=directory, follow_symlinks=False)
    except OSError as error:
        if not lenient or error.errno not in _FORBIDDEN:
            raise
    if not stat.S_ISLNK(found.st_mode):
        os.chmod(name, stat.S_IMODE(found.st_mode), dir_fd=directory)
    target = b"/proc/self/fd/%d/%s" % (directory, name)
    for key, value in xattrs(source).items():
        try:
            os.setxattr(target, key, value, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _FORBIDDEN:
                raise
    times = (found.st_atime_ns, found.st_mtime_ns)
    os.utime(name, ns=times, dir_fd=directory, follow_symlinks=False)


def _copy_file(source: bytes, directory: int, name: bytes) -> None:
    reading = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        writing = os.open(
            name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory
        )
        try:
            _copy_data(reading, writing)
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def _copy_data(reading: int, writing: int) -> None:
    """The pieces that hold data; holes stay holes."""
    size = os.fstat(reading).st_size
    position = 0
    while position < size:
        try:
            start = os.lseek(reading, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break  # only a hole is left
            raise
        position = os.lseek(reading, start, os.SEEK_HOLE)
        os.lseek(reading, start, os.SEEK_SET)
        os.lseek(writing, start, os.SEEK_SET)
        left = position - start
        while left:
            moved = os.sendfile(writing, reading, None, min(left, _CHUNK))
            if not moved:
                return  # it shrank while it was copied
            left -= moved
    os.ftruncate(writing, size)
