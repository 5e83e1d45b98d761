"""Who is looking into one container's files now; and how its life goes on all the same."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

GRACE = 10.0
"""Seconds that a start, or the end of a run, leaves to copies under way."""


class Views:
    """Entered and left with the event loop's thread only."""

    def __init__(self) -> None:
        self.open: set[threading.Event] = set()
        self.idle = asyncio.Event()
        self.idle.set()

    @contextlib.contextmanager
    def one(self, stop: threading.Event) -> Iterator[None]:
        """A view is open; setting `stop` ends it soon."""
        self.open.add(stop)
        self.idle.clear()
        try:
            yield
        finally:
            self.open.discard(stop)
            if not self.open:
                self.idle.set()

    async def settle(self, grace: float = GRACE) -> None:
        """Wait until none is open, and end those that are still there after `grace` seconds. With the
        container's lock held: no new one is opened meanwhile."""
        if not self.open:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self.idle.wait()
        for stop in self.open:
            stop.set()
        await self.idle.wait()
