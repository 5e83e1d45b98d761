"""The container's log in the CRI format that conmon calls k8s-file.

    2026-01-02T03:04:05.123456789Z stdout F a whole line
    2026-01-02T03:04:05.123456789Z stderr P the beginning of one, continued by the next entry

An entry is P when its text did not end with a newline; a last line without one stays P, so that a
reader knows that the process wrote none.
"""

from __future__ import annotations

import os
import time

STREAMS = {2: b"stdout", 3: b"stderr"}
"""The protocol's number of a stream -> its name in the log."""


class Log:
    """An open log file, or none (`path` None). A file that cannot be written loses lines, never output."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._fd = -1
        self.reopen()

    def reopen(self) -> None:
        """Close, and open by name again: the file was renamed."""
        self.close()
        if self._path is not None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            self._fd = os.open(self._path, flags, 0o600)

    def write(self, stream: int, data: bytes) -> None:
        if self._fd < 0:
            return
        now = time.time_ns()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 1_000_000_000))
        start = b"%s.%09dZ %s " % (stamp.encode(), now % 1_000_000_000, STREAMS[stream])
        whole, newline, rest = data.rpartition(b"\n")
        entries = b""
        if newline:
            entries = start + b"F " + whole.replace(b"\n", b"\n" + start + b"F ") + b"\n"
        if rest:
            entries += start + b"P " + rest + b"\n"
        try:
            view = memoryview(entries)
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            return  # the disk is full or gone: the container goes on

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
