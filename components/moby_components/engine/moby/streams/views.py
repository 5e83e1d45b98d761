"""What a client sees of streams: only what it asked for, after the log if it wants that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from moby_py.model import AttachOptions, LogLine, Streams


class View(Streams):
    """`past` lines first, then `live`; streams that were not asked for are read and dropped, so that
    they hold nothing back. The end is told only once `until` is done: who then asks for the exit code
    gets it. `left` is called once, when the client closes before the end."""

    def __init__(
        self,
        live: Streams | None,
        options: AttachOptions,
        *,
        past: AsyncIterator[LogLine] | None = None,
        until: asyncio.Task[None] | None = None,
        left: Callable[[], None] = lambda: None,
    ) -> None:
        self._live = live
        self._options = options
        self._past = past
        self._until = until
        self._left = left
        self._closed = False
        self._ended = False

    async def read(self) -> tuple[int, bytes] | None:
        while self._past is not None:
            line = await anext(self._past, None)
            if line is None:
                self._past = None
            elif self._wanted(line.stream):
                return line.stream, line.text
        while self._live is not None:
            piece = await self._live.read()
            if piece is None and self._until is not None:
                await asyncio.wait([self._until])
            if piece is None:
                break
            if self._wanted(piece[0]):
                return piece
        self._ended = True
        return None

    async def write(self, data: bytes) -> None:
        if self._live is not None and self._options.stdin:
            await self._live.write(data)

    async def close_stdin(self) -> None:
        if self._live is not None and self._options.stdin:
            await self._live.close_stdin()

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._live is not None:
            await self._live.close()
        if not self._ended:
            self._left()

    def _wanted(self, stream: int) -> bool:
        return self._options.stdout if stream == 1 else self._options.stderr
