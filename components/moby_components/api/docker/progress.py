"""Progress on its way from a store to a client: in order, without a backlog."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

from moby_components.api.docker.shapes.progress import line
from moby_py.model import Progress


class Relay:
    """`sink` may be called from any thread. Iterating gives lists of lines, until `end`.

    A slow client sees fewer byte counts, not old ones: of the counts of one layer that wait, only
    the newest stays.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._waiting: list[Progress] = []
        self._counts: dict[tuple[str, str], int] = {}
        self._wake = asyncio.Event()
        self._ended = False

    def sink(self, step: Progress) -> None:
        if threading.get_ident() == self._thread:
            self._take(step)
        else:
            self._loop.call_soon_threadsafe(self._take, step)

    def end(self) -> None:
        self._ended = True
        self._wake.set()

    def _take(self, step: Progress) -> None:
        key = (step.id, step.status)
        at = self._counts.get(key) if step.current else None
        if at is not None:
            self._waiting[at] = step
        else:
            if step.current:
                self._counts[key] = len(self._waiting)
            self._waiting.append(step)
        self._wake.set()

    async def __aiter__(self) -> AsyncIterator[list[dict[str, Any]]]:
        while True:
            await self._wake.wait()
            self._wake.clear()
            steps, self._waiting = self._waiting, []
            self._counts.clear()
            if steps:
                yield [line(step) for step in steps]
            elif self._ended:
                return
            if self._ended and not self._waiting:
                await asyncio.sleep(0)  # what other threads handed over just before the end
                self._wake.set()
