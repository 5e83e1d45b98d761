"""One connection to the forwarder's control socket: numbered questions, answers in any order."""

from __future__ import annotations

import asyncio
import json
from typing import Any

LARGEST_ANSWER = 16 << 20


class Lost(Exception):
    """The connection broke before the answer came."""


class Refused(Exception):
    """The forwarder's answer is no. `errno` is 0 where it was not the kernel that said so."""

    def __init__(self, errno: int, text: str) -> None:
        super().__init__(text)
        self.errno, self.text = errno, text


class Link:
    """Made by `to`; ends with the process at its other end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._count = 0
        self._listening = asyncio.create_task(self._listen(), name="forwarder answers")

    @classmethod
    async def to(cls, path: str) -> Link:
        """Raises OSError when nothing listens there."""
        return cls(*await asyncio.open_unix_connection(path, limit=LARGEST_ANSWER))

    async def ask(self, op: str, **fields: Any) -> Any:
        """The answer. Raises Refused or Lost."""
        if self._listening.done():
            raise Lost("the connection is gone")
        self._count += 1
        number = self._count
        future = self._asked[number] = asyncio.get_running_loop().create_future()
        self._writer.write(json.dumps({"id": number, "op": op, **fields}).encode() + b"\n")
        try:
            answer = await future
        finally:
            self._asked.pop(number, None)
        if "error" in answer:
            raise Refused(int(answer["errno"]), str(answer["error"]))
        return answer["ok"]

    async def ended(self) -> None:
        """Returns when the other end is gone."""
        await asyncio.shield(self._listening)

    def close(self) -> None:
        self._listening.cancel()
        self._writer.close()

    async def _listen(self) -> None:
        try:
            while line := await self._reader.readline():
                answer = json.loads(line)
                future = self._asked.get(answer.get("id"))
                if future is not None and not future.done():
                    future.set_result(answer)
        except (OSError, ValueError):
            pass
        finally:
            for future in self._asked.values():
                if not future.done():
                    future.set_exception(Lost("the connection broke"))
