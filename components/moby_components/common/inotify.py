"""inotify(7) on asyncio: wait for changes of files without looking at them again and again."""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

IN_MODIFY, IN_MOVED_TO, IN_CREATE, IN_DELETE_SELF = 0x2, 0x80, 0x100, 0x400
_IN_NONBLOCK, _IN_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
_HEADER = struct.Struct("iIII")
_libc = ctypes.CDLL(None, use_errno=True)


class Inotify:
    """One inotify instance on the running loop. Watches call back with the event's mask."""

    def __init__(self) -> None:
        self._fd = _checked(_libc.inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC))
        self._calls: dict[int, Callable[[int], None]] = {}
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def watch(self, path: Path, mask: int, call: Callable[[int], None]) -> int:
        """Returns the watch's number. Watching one file twice replaces the first call."""
        number = _checked(_libc.inotify_add_watch(self._fd, os.fsencode(path), mask))
        self._calls[number] = call
        return number

    def unwatch(self, number: int) -> None:
        """Idempotent: the kernel drops a watch itself when its file goes."""
        if self._calls.pop(number, None) is not None:
            _libc.inotify_rm_watch(self._fd, number)

    def close(self) -> None:
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
            self._calls.clear()

    def __enter__(self) -> Inotify:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def _read(self) -> None:
        try:
            data = os.read(self._fd, 1 << 16)
        except BlockingIOError:
            return
        seen: dict[int, int] = {}
        at = 0
        while at < len(data):
            number, mask, _, length = _HEADER.unpack_from(data, at)
            at += _HEADER.size + length
            seen[number] = seen.get(number, 0) | mask
        for number, mask in seen.items():
            if number == -1:  # the queue ran over: everyone looks
                for call in list(self._calls.values()):
                    call(IN_MODIFY)
            elif number in self._calls:
                self._calls[number](mask)


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
