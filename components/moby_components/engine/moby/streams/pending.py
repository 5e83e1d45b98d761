"""A client that attached before the start: its input waits, and no byte of output is missed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from moby_py.model import Streams


class PendingStreams(Streams):
    """Becomes the real streams at `connect`, or ends at `fail`. Until then `read` and `write` wait."""

    def __init__(self, forget: Callable[[PendingStreams], None]) -> None:
        self._forget = forget
        self._real: Streams | None = None
        self._ready = asyncio.Event()
        self._closed = False

    async def connect(self, real: Streams) -> None:
        """The container was created: these are its streams now."""
        if self._closed:
            await real.close()
            return
        self._real = real
        self._ready.set()

    def fail(self) -> None:
        """It will not start: the end of output."""
        self._ready.set()

    async def read(self) -> tuple[int, bytes] | None:
        real = await self._wait()
        return await real.read() if real else None

    async def write(self, data: bytes) -> None:
        real = await self._wait()
        if real:
            await real.write(data)

    async def close_stdin(self) -> None:
        real = await self._wait()
        if real:
            await real.close_stdin()

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._forget(self)
        self._ready.set()
        if self._real:
            await self._real.close()

    async def _wait(self) -> Streams | None:
        await self._ready.wait()
        return self._real
