"""Moving bytes between a hijacked connection and a process's `Streams`, with back-pressure both ways."""

from __future__ import annotations

import asyncio
import contextlib

from moby_components.api.docker.frames import frame
from moby_components.api.docker.hijack import Hijacked
from moby_py.detach_keys import DetachFilter
from moby_py.model import Streams


async def pump(
    raw: Hijacked,
    streams: Streams,
    *,
    framed: bool,
    stdin: bool,
    wanted: frozenset[int] = frozenset({1, 2}),
    detach_keys: bytes = b"",
) -> None:
    """Until the process's output has ended, the client has detached or is gone.

    The end of the client's input closes the process's stdin and nothing else. Always closes
    `streams`; the process goes on.
    """
    output = asyncio.ensure_future(_output(raw, streams, framed, wanted))
    source = asyncio.ensure_future(_input(raw, streams if stdin else None, detach_keys))
    try:
        await asyncio.wait({output, source}, return_when=asyncio.FIRST_COMPLETED)
        if source.done() and not output.done() and not (source.exception() or source.result()):
            await output
        for task in (output, source):
            if task.done() and not task.cancelled() and isinstance(task.exception(), ConnectionError):
                raise ConnectionResetError("the client is gone")
        for task in (output, source):
            if task.done():
                task.result()
    finally:
        for task in (output, source):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(output, source, return_exceptions=True)
        await streams.close()


async def _output(raw: Hijacked, streams: Streams, framed: bool, wanted: frozenset[int]) -> None:
    while (piece := await streams.read()) is not None:
        stream, data = piece
        if stream in wanted and data:
            await raw.write(frame(stream, data) if framed else data)


async def _input(raw: Hijacked, streams: Streams | None, detach_keys: bytes) -> bool:
    """True when the client asked to detach. Without a stdin the input is read and dropped, so that
    the client's end is noticed."""
    keys = DetachFilter(detach_keys) if detach_keys else None
    while piece := await raw.read():
        data = keys.feed(piece) if keys is not None else piece
        if streams is not None and data:
            try:
                await streams.write(data)
            except OSError:  # the process has closed its stdin; what else is typed goes nowhere
                streams = None
        if keys is not None and keys.hit:
            return True
    if streams is not None:
        with contextlib.suppress(OSError):
            await streams.close_stdin()
    return False
