"""One connection of the daemon to the process: requests out, answers and log lines in."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LARGEST_LINE = 16 << 20


class Connection:
    """`ended` is set when it breaks; whoever waits for an answer gets ConnectionResetError then."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, log: logging.Logger
    ) -> None:
        self._writer, self._log = writer, log
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.ended = asyncio.Event()
        self._task = asyncio.create_task(self._read(reader), name="dns connection")

    @classmethod
    async def open(cls, path: Path, log: logging.Logger) -> Connection:
        """Raises OSError when nobody listens."""
        reader, writer = await asyncio.open_unix_connection(path, limit=LARGEST_LINE)
        return cls(reader, writer, log)

    async def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a request. Requests are obeyed in the order of the calls."""
        if self.ended.is_set():
            raise ConnectionResetError("the resolver is gone")
        number = next(self._numbers)
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            self._writer.write(json.dumps({"id": number, **request}).encode() + b"\n")
            return await future
        finally:
            self._waiting.pop(number, None)

    async def close(self) -> None:
        """Idempotent."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                said = json.loads(line)
                if "log" in said:
                    self._log.warning("dns: %s", said["log"])
                    continue
                future = self._waiting.get(said["id"])
                if future and not future.done():
                    future.set_result(said)
        except (OSError, ValueError) as error:
            self._log.warning("dns: the connection broke - %s", error)
        finally:
            self.ended.set()
            self._writer.close()
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(ConnectionResetError("the resolver is gone"))
