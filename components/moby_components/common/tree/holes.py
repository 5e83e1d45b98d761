"""Which parts of a file hold data, and moving them: clones where the file system can, holes stay holes."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

_FICLONE = 0x40049409
_CHUNK = 1 << 26
_CANNOT = (
    errno.EXDEV,
    errno.EOPNOTSUPP,
    errno.EINVAL,
    errno.ENOSYS,
    errno.ENOTTY,
    errno.EPERM,
    errno.ETXTBSY,
)


def pieces(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """(offset, length) of what is not a hole, in order. Where nobody knows, all of it."""
    position = 0
    while position < size:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
            end = min(os.lseek(descriptor, start, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno != errno.ENXIO:
                yield position, size - position
            return  # only a hole is left
        if start >= size:
            return
        yield start, end - start
        position = end


def copy_data(reading: int, writing: int) -> None:
    """All of one open file into another, empty one. Blocking."""
    import fcntl

    with contextlib.suppress(OSError):
        fcntl.ioctl(writing, _FICLONE, reading)  # both share the blocks until one of them is written
        return
    size = os.fstat(reading).st_size
    for offset, length in pieces(reading, size):
        _copy_piece(reading, writing, offset, length)
    os.ftruncate(writing, size)


def _copy_piece(reading: int, writing: int, offset: int, length: int) -> None:
    while length:
        try:
            moved = os.copy_file_range(reading, writing, min(length, _CHUNK), offset, offset)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            os.lseek(writing, offset, os.SEEK_SET)
            moved = os.sendfile(writing, reading, offset, min(length, _CHUNK))
        if not moved:
            return  # it shrank while it was copied
        offset += moved
        length -= moved
