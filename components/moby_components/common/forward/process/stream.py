"""One direction of a TCP connection."""

from __future__ import annotations

import os
import socket

from .pipes import SIZE, Pipe, Pipes

ROUNDS = 4
"""How often in a row one direction may move bytes before others have their turn."""


class Direction:
    """Bytes from `source` to `target`. What the target does not take waits in one pipe, and until it is
    gone nothing more is read: the sender feels it. The end of the source becomes the end of what the
    target reads, and nothing else: the other direction goes on."""

    __slots__ = ("_pending", "_pipe", "_pipes", "done", "eof", "moved", "source", "target")

    def __init__(self, source: socket.socket, target: socket.socket, pipes: Pipes) -> None:
        self.source, self.target = source, target
        self._pipes = pipes
        self._pipe: Pipe | None = None
        self._pending = 0
        self.eof = self.done = False
        self.moved = 0

    @property
    def wants_to_read(self) -> bool:
        return not self.eof and not self._pending

    @property
    def wants_to_write(self) -> bool:
        return self._pending > 0

    def pump(self) -> None:
        """Move what can be moved now. Raises OSError when one of the two ends is broken."""
        if self.done or (self._pending and not self._flush()):
            return
        for _ in range(ROUNDS):
            if self.eof or not self._fill():
                break
            if not self._flush():
                return
        if self.eof:
            self.target.shutdown(socket.SHUT_WR)
            self.done = True

    def release(self) -> None:
        """Give up; what is under way is lost. Idempotent."""
        if self._pipe is not None:
            self._pipes.give_back(self._pipe, empty=not self._pending)
            self._pipe, self._pending = None, 0
        self.eof = self.done = True

    def _fill(self) -> bool:
        if self._pipe is None:
            self._pipe = self._pipes.take()
        try:
            count = os.splice(self.source.fileno(), self._pipe[1], SIZE, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            self._let_go()
            return False
        if count == 0:
            self.eof = True
            self._let_go()
            return False
        self._pending = count
        return True

    def _flush(self) -> bool:
        """True when nothing is left."""
        assert self._pipe is not None  # noqa: S101 - bytes are pending
        while self._pending:
            try:
                count = os.splice(
                    self._pipe[0], self.target.fileno(), self._pending, flags=os.SPLICE_F_NONBLOCK
                )
            except BlockingIOError:
                return False
            self._pending -= count
            self.moved += count
        return True

    def _let_go(self) -> None:
        if self._pipe is not None:
            self._pipes.give_back(self._pipe)
            self._pipe = None
