"""Between threads that block and coroutines that must not: byte streams in both directions."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import AsyncIterator, Callable

from moby_components.image_store.overlay.content.blobs import Blobs
from moby_components.image_store.overlay.threads import chunks_of, in_thread
from moby_py.errors import DataError

_PIECE = 1 << 18
_QUEUED = 8


class _Stopped(Exception):
    """The reader went away; the writer ends at its next write."""


async def from_writer(work: Callable[[Callable[[bytes], object]], None]) -> AsyncIterator[bytes]:
    """`work(write)` runs in a thread; what it writes is yielded. An error of it is raised at the end;
    leaving early stops it."""
    loop = asyncio.get_running_loop()
    pieces: queue.Queue[bytes | None] = queue.Queue(_QUEUED)
    ready = asyncio.Event()
    stopped = threading.Event()
    buffer = bytearray()

    def put(piece: bytes | None) -> None:
        while True:
            try:
                pieces.put(piece, timeout=0.2)
            except queue.Full:
                if stopped.is_set():
                    raise _Stopped from None
            else:
                loop.call_soon_threadsafe(ready.set)
                return

    def write(data: bytes) -> None:
        buffer.extend(data)
        if len(buffer) >= _PIECE:
            put(bytes(buffer))
            buffer.clear()

    def run() -> None:
        try:
            work(write)
            if buffer:
                put(bytes(buffer))
        except _Stopped:
            return
        finally:
            with contextlib.suppress(_Stopped):
                put(None)

    task = asyncio.ensure_future(asyncio.to_thread(run))
    try:
        while True:
            try:
                piece = pieces.get_nowait()
            except queue.Empty:
                await ready.wait()
                ready.clear()
                continue
            if piece is None:
                break
            yield piece
    finally:
        stopped.set()
        await asyncio.wait([task])
    task.result()


async def spool(data: AsyncIterator[bytes], blobs: Blobs, limit: int) -> int:
    """The whole stream in a private, nameless file; returns its descriptor, at the start. Raises
    DataError beyond `limit` bytes."""
    descriptor = os.open(blobs.scratch, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    try:
        size = 0
        async for chunk in chunks_of(data):
            size += len(chunk)
            if size > limit:
                raise DataError(f"the archive is too large - more than {limit} bytes")
            await in_thread(_write_all, descriptor, chunk)
        os.lseek(descriptor, 0, os.SEEK_SET)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
