"""Draining an asynchronous iterator in batches: one write for what is ready, none for waiting."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

T = TypeVar("T")


async def batched(source: AsyncIterator[T], limit: int = 256) -> AsyncGenerator[list[T], None]:
    """Lists of what `source` has ready, at most `limit` at once. Reads at most `limit` items ahead of
    the consumer. Errors of `source` come after the items before them."""
    queue: asyncio.Queue[T | None] = asyncio.Queue(limit)

    async def fill() -> None:
        try:
            async for item in source:
                await queue.put(item)
        finally:
            close = getattr(source, "aclose", None)
            if close is not None:
                await close()

    async def run() -> None:
        try:
            await fill()
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await queue.put(None)

    task = asyncio.create_task(run())
    try:
        while True:
            batch: list[T] = []
            item = await queue.get()
            while item is not None:
                batch.append(item)
                if len(batch) >= limit or queue.empty():
                    break
                item = queue.get_nowait()
            if batch:
                yield batch
            if item is None:
                break
        await task
    finally:
        if not task.done():
            task.cancel()
            while not queue.empty():
                queue.get_nowait()
            with contextlib.suppress(asyncio.CancelledError):
                await task
