"""Pipes for splice(2): bytes go from socket to socket inside the kernel."""

from __future__ import annotations

import contextlib
import fcntl
import os

SIZE = 256 << 10
MOST_IDLE = 32
Pipe = tuple[int, int]


class Pipes:
    """Lent while bytes are under way. Most are given back at once: only a direction whose reader is
    slow holds one, which is also all that it can make wait here."""

    def __init__(self) -> None:
        self._idle: list[Pipe] = []

    def take(self) -> Pipe:
        """An empty pipe. Raises OSError when there are no descriptors left."""
        if self._idle:
            return self._idle.pop()
        pipe = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        with contextlib.suppress(OSError):  # over the user's limit (pipe(7)): the default must do
            fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, SIZE)
        return pipe

    def give_back(self, pipe: Pipe, *, empty: bool = True) -> None:
        if empty and len(self._idle) < MOST_IDLE:
            self._idle.append(pipe)
        else:
            os.close(pipe[0])
            os.close(pipe[1])
