"""One epoll, level-triggered: handlers by descriptor, timers, and closing that waits for its turn."""

from __future__ import annotations

import heapq
import itertools
import select
import socket
import time
import traceback
from collections.abc import Callable

IN, OUT = select.EPOLLIN, select.EPOLLOUT
Handler = Callable[[int], None]
"""Called with the events; must bear being called for nothing."""


class Timer:
    """Runs once, unless cancelled."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None


class Loop:
    """Runs in one thread; nothing of it may be called from another."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._count = itertools.count()
        self._dying: list[socket.socket] = []
        self.now = time.monotonic()

    def watch(self, sock: socket.socket, events: int, handler: Handler) -> None:
        fd = sock.fileno()
        self._epoll.register(fd, events)
        self._handlers[fd] = handler

    def change(self, sock: socket.socket, events: int) -> None:
        self._epoll.modify(sock.fileno(), events)

    def forget(self, sock: socket.socket) -> None:
        """Idempotent."""
        fd = sock.fileno()
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def close(self, sock: socket.socket) -> None:
        """Forget it, and close it after this round: no event of this round then meets a new socket
        that has got the same number."""
        if sock.fileno() >= 0:
            self.forget(sock)
            self._dying.append(sock)

    def close_now(self, sock: socket.socket) -> None:
        """For a published socket: its port is free at once. Events of this round that reach a new socket
        of the same number can only say that something can be read."""
        self.forget(sock)
        sock.close()

    def later(self, seconds: float, call: Callable[[], None]) -> Timer:
        timer = Timer(call)
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._count), timer))
        return timer

    def run(self) -> None:
        """Never returns."""
        while True:
            self.turn()

    def turn(self) -> None:
        """Wait for something, and do all that is due."""
        wait = -1.0
        if self._timers:
            wait = max(0.0, self._timers[0][0] - time.monotonic())
        ready = self._epoll.poll(wait, 256)
        self.now = time.monotonic()
        while self._timers and self._timers[0][0] <= self.now:
            call = heapq.heappop(self._timers)[2].call
            if call is not None:
                call()
        for fd, events in ready:
            handler = self._handlers.get(fd)
            if handler is not None:
                try:
                    handler(events)
                except Exception:  # one broken flow must not end all others
                    traceback.print_exc()
                    if self._handlers.pop(fd, None) is not None:
                        self._epoll.unregister(fd)
        for sock in self._dying:
            sock.close()
        self._dying.clear()
