"""Streams over a monitor's attach socket: packets out, raw bytes in, back-pressure both ways."""

from __future__ import annotations

import asyncio
import functools
import os
import socket
from pathlib import Path

from moby_py.errors import Conflict
from moby_py.model import Streams

LARGEST_PACKET = 1 << 16
"""More than any monitor sends in one packet (conmon: 8 KiB, newer 32 KiB, and one byte)."""

LARGEST_INPUT = 1 << 15
"""conmon reads input packets into 32 KiB and would cut off the rest of a longer one."""

_YIELD_EVERY = 32
"""Packets read in a row before other tasks get their turn."""

_BACKLOG_PAUSE = 0.01
_BACKLOG_TRIES = 500


async def connect(directory: Path, *, stdin: bool) -> AttachStreams:
    """Connect to the monitor of `directory`. `stdin`: the process has a standard input.

    When this returns, the connection is in the monitor's queue, and the monitor takes new
    connections before it copies output: nothing that the process writes from now on is missed.
    Raises `Conflict` when there is no monitor (any more).
    """
    # /proc/self/fd/N/attach: a unix socket's path has at most 108 bytes, ours may be longer.
    where = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        link.setblocking(False)
        for _ in range(_BACKLOG_TRIES):
            try:
                link.connect(f"/proc/self/fd/{where}/attach")
                return AttachStreams(link, stdin=stdin)
            except BlockingIOError:
                # The listener's backlog is full, and the kernel offers nothing to wait on for that.
                await asyncio.sleep(_BACKLOG_PAUSE)
        raise Conflict("cannot attach - the container's monitor takes no more connections")
    except (FileNotFoundError, ConnectionRefusedError) as error:
        link.close()
        raise Conflict("cannot attach - the process has ended") from error
    except BaseException:
        link.close()
        raise
    finally:
        os.close(where)


class AttachStreams(Streams):
    """One connection. One task may read and another write at the same time."""

    def __init__(self, link: socket.socket, *, stdin: bool) -> None:
        self._link = link
        self._stdin = stdin
        self._ended = False
        self._count = 0
        self._waiting: set[asyncio.Future[None]] = set()

    async def read(self) -> tuple[int, bytes] | None:
        while not self._ended:
            try:
                packet = self._link.recv(LARGEST_PACKET)
            except BlockingIOError:
                await self._ready(write=False)
                continue
            except ConnectionResetError:
                # The monitor ended while input of ours lay unread in its queue. The kernel says so
                # once, ahead of the output that is still queued for us: read on.
                continue
            if not packet:
                self._ended = True
                break
            self._count += 1
            if self._count % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
            if len(packet) > 1:
                return (1 if packet[0] == 2 else 2), packet[1:]
        return None

    async def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view and self._stdin and self._link.fileno() >= 0:
            try:
                sent = self._link.send(view[:LARGEST_INPUT], socket.MSG_NOSIGNAL)
            except BlockingIOError:
                await self._ready(write=True)
            except OSError:
                self._stdin = False  # the process or its stdin is gone: nobody is there to tell
            else:
                view = view[sent:]

    async def close_stdin(self) -> None:
        if self._stdin and self._link.fileno() >= 0:
            self._stdin = False
            try:
                self._link.shutdown(socket.SHUT_WR)
            except OSError:
                return  # the monitor went first

    async def close(self) -> None:
        if self._link.fileno() < 0:
            return
        self._ended = True
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._link.fileno())
        loop.remove_writer(self._link.fileno())
        self._link.close()
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def _ready(self, *, write: bool) -> None:
        loop = asyncio.get_running_loop()
        fd = self._link.fileno()
        ready = loop.create_future()
        self._waiting.add(ready)
        wake = functools.partial(_wake, ready)
        if write:
            loop.add_writer(fd, wake)
        else:
            loop.add_reader(fd, wake)
        try:
            await ready
        finally:
            self._waiting.discard(ready)
            if self._link.fileno() >= 0:
                if write:
                    loop.remove_writer(fd)
                else:
                    loop.remove_reader(fd)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():  # it may be called twice, or after its waiter has gone
        future.set_result(None)
