"""Blocking work in threads, and one rule: a thread that writes is waited for, even when cancelled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """`asyncio.to_thread`, but a cancellation is raised only after the call has ended: whoever cleans
    up afterwards is alone in the directory."""
    task = asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):  # who is impatient cancels twice
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # seen: the cancellation is what is told
        raise


async def all_or_none(tasks: Iterable[asyncio.Task[T]]) -> list[T]:
    """Results in order. One failure (or our own cancellation) cancels the rest, waits for their
    cleaning up, and is raised."""
    waiting = list(tasks)
    try:
        return list(await asyncio.gather(*waiting))
    except BaseException:
        own = asyncio.current_task()
        if own is None or not own.cancelling():  # else gather has told them, and twice would cut
            for task in waiting:  # their cleaning up short
                task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        raise


async def chunks_of(data: AsyncIterator[bytes], size: int = 1 << 20) -> AsyncIterator[bytes]:
    """The same bytes in pieces worth a trip to a thread."""
    buffer = bytearray()
    async for piece in data:
        buffer += piece
        if len(buffer) >= size:
            yield bytes(buffer)
            buffer.clear()
    if buffer:
        yield bytes(buffer)
