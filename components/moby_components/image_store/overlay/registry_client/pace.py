"""Giving up on a transfer that stalls or trickles, and telling of one that goes on."""

from __future__ import annotations

import asyncio
from types import TracebackType

from .types import TransferProgress

REPORT_SECONDS = 0.1


class Pace:
    """`async with pace:` raises TimeoutError once `seconds` bring less than `least` bytes.

    A window that brought enough is followed by a new one, so that a slow but steady line is fine
    and one byte now and then is not.
    """

    def __init__(self, seconds: float, least: int) -> None:
        self.seconds, self._least = seconds, max(least, 1)
        self._came = 0
        self._timeout = asyncio.timeout(None)

    async def __aenter__(self) -> Pace:
        await self._timeout.__aenter__()
        self.renew(self.seconds)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._timeout.__aexit__(kind, error, trace)

    def moved(self, count: int) -> None:
        """`count` further bytes."""
        self._came += count
        if self._came >= self._least:
            self.renew(self.seconds)

    def renew(self, seconds: float) -> None:
        """Begin a window of `seconds` now."""
        self._came = 0
        self._timeout.reschedule(asyncio.get_running_loop().time() + seconds)


class Meter:
    """Calls a progress sink seldom enough to cost nothing."""

    def __init__(self, sink: TransferProgress | None, total: int) -> None:
        self._sink, self._total, self._last, self._told = sink, total, 0.0, -1

    def at(self, done: int) -> None:
        """`done` bytes are there; reported when it is time, or when it is all."""
        if self._sink is None or done == self._told:
            return
        now = asyncio.get_running_loop().time()
        if done >= self._total or now - self._last >= REPORT_SECONDS:
            self._last, self._told = now, done
            self._sink(done, self._total)
