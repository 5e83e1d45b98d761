"""A small event loop: epoll, and deadlines that are looked at five times a second while
there are any. asyncio would double the memory of the process and halve its answers per second."""

from __future__ import annotations

import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Timed(Protocol):
        deadline: float

        def expire(self) -> None: ...


READ, WRITE, GONE = select.EPOLLIN, select.EPOLLOUT, select.EPOLLHUP | select.EPOLLERR
STEP = 0.2


class Loop:
    """Callbacks by descriptor. `waiting` holds what has a deadline."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[int], None]] = {}
        self.waiting: set[Timed] = set()
        self.now = time.monotonic()
        self._running = False
        self.mistakes = 0
        self.complain: Callable[[Exception], None] = lambda _error: None
        self._complained = self.now - 3600

    def watch(self, fd: int, events: int, callback: Callable[[int], None]) -> None:
        """Call `callback(events)` when something of `events` happens; errors and hang-ups always do."""
        self._epoll.register(fd, events)
        self._callbacks[fd] = callback

    def change(self, fd: int, events: int) -> None:
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Before the descriptor is closed. Idempotent."""
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def run(self) -> None:
        """Until `stop`. Each callback does a bounded piece of work, so that nobody holds up another."""
        self._running = True
        looked = time.monotonic()
        while self._running:
            ready = self._epoll.poll(STEP if self.waiting else -1, 128)
            self.now = time.monotonic()
            for fd, events in ready:
                # One that was closed earlier in this round is gone; where its number was taken again
                # already, the new owner finds nothing to read.
                callback = self._callbacks.get(fd)
                if callback is not None:
                    self._call(callback, events)
            if self.waiting and self.now - looked >= STEP:
                looked = self.now
                for timed in [one for one in self.waiting if one.deadline <= self.now]:
                    if timed in self.waiting:
                        self._call(timed.expire)

    def _call(self, work: Callable[..., None], *given: int) -> None:
        """One who finds a mistake of ours costs himself a packet, not all others their resolver."""
        try:
            work(*given)
        except Exception as error:
            self.mistakes += 1
            if self.now - self._complained > 60:
                self._complained = self.now
                self.complain(error)

    def stop(self) -> None:
        self._running = False
