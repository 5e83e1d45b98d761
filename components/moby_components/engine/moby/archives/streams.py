"""Bytes between coroutines and the thread that is in a container's files; a few pieces at a time are kept.

A thread that waits for a slow client looks now and then whether it is still wanted: a client that
stalls must not keep a container from being started or its root from being unmounted.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import AsyncIterator, Iterator

_PIECE = 1 << 18
_QUEUED = 8
_LOOK = 0.2


class Stopped(Exception):
    """Nobody wants this work any more."""


class Outlet:
    """The thread's end of a stream of bytes; `Pieces` is the reader's."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.ready = asyncio.Event()
        self.pieces: queue.Queue[bytes | None] = queue.Queue(_QUEUED)
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()

    def write(self, data: bytes) -> None:
        """In the thread. Raises Stopped."""
        self._buffer += data
        if len(self._buffer) >= _PIECE:
            self._put(bytes(self._buffer))
            self._buffer.clear()

    def end(self) -> None:
        """In the thread: no more is written."""
        if self._buffer:
            self._put(bytes(self._buffer))
        self._put(None)

    def _put(self, piece: bytes | None) -> None:
        while not self.stop.is_set():
            with contextlib.suppress(queue.Full):
                self.pieces.put(piece, timeout=_LOOK)
                self._loop.call_soon_threadsafe(self.ready.set)
                return
        raise Stopped


class Pieces(AsyncIterator[bytes]):
    """What `work` writes into the outlet; its error is raised at the end. Closing this, or losing it,
    stops the thread at its next write."""

    def __init__(self, outlet: Outlet, work: asyncio.Task[None]) -> None:
        self._outlet = outlet
        self._work = work
        work.add_done_callback(lambda _: outlet.ready.set())

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            while True:
                self._outlet.ready.clear()
                with contextlib.suppress(queue.Empty):
                    piece = self._outlet.pieces.get_nowait()
                    if piece is None:
                        await self._work
                        raise StopAsyncIteration
                    return piece
                if self._work.done() and self._outlet.pieces.empty():
                    await self._work
                    raise StopAsyncIteration
                await self._outlet.ready.wait()
        except BaseException:
            self._outlet.stop.set()
            raise

    async def aclose(self) -> None:
        self._outlet.stop.set()
        await asyncio.wait([self._work])

    def __del__(self) -> None:
        self._outlet.stop.set()


class Inlet:
    """From one writer (`fill`) to the thread (iterating)."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Semaphore(_QUEUED)
        self._pieces: queue.Queue[bytes | None] = queue.Queue()

    async def fill(self, data: AsyncIterator[bytes]) -> None:
        """All of `data`, no faster than the thread takes it."""
        async for piece in data:
            for at in range(0, len(piece), _PIECE):
                await self._room.acquire()
                self._pieces.put(piece[at : at + _PIECE])
        self._pieces.put(None)

    def __iter__(self) -> Iterator[bytes]:
        """In the thread. Raises Stopped."""
        while True:
            try:
                piece = self._pieces.get(timeout=_LOOK)
            except queue.Empty:
                if self.stop.is_set():
                    raise Stopped from None
                continue
            if self.stop.is_set():
                raise Stopped
            if piece is None:
                return
            self._loop.call_soon_threadsafe(self._room.release)
            yield piece


async def pour(inlet: Inlet, data: AsyncIterator[bytes], work: asyncio.Task[None]) -> None:
    """Fill the inlet until the thread has ended, whoever is first; raises what either raised."""
    filling = asyncio.ensure_future(inlet.fill(data))
    try:
        await asyncio.wait({filling, work}, return_when=asyncio.FIRST_COMPLETED)
        if filling.done() and filling.exception() is not None:
            await filling
        await work
    finally:
        inlet.stop.set()
        filling.cancel()
        await asyncio.wait({filling, work})
