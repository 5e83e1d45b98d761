"""Answers: JSON with the exact content type, empty ones, and streams that flush at once.

The docker CLI compares the content type with "application/json" byte by byte: a charset behind it
makes it print raw JSON instead of messages. Hence bytes bodies everywhere (aiohttp adds a charset
to text bodies).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiohttp import web

from moby_components.api.docker.errors import message
from moby_py.errors import MobyError

JSON = "application/json"


def encode(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def as_json(value: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=encode(value), content_type=JSON)


def empty(status: int = 204) -> web.Response:
    return web.Response(status=status)


def error(problem: MobyError) -> web.Response:
    if problem.http_status == 304:
        return empty(304)
    return as_json({"message": message(problem)}, problem.http_status)


class JsonStream:
    """A stream of JSON objects, one per line. Headers go out with the first, so that an error
    before it still gets a status of its own; `open` sends them now."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self.response = web.StreamResponse()
        self.response.content_type = JSON

    @property
    def started(self) -> bool:
        return self.response.prepared

    async def open(self) -> None:
        if not self.response.prepared:
            await self.response.prepare(self._request)

    async def send(self, *values: Any) -> None:
        await self.open()
        await self.response.write(b"".join(encode(value) + b"\r\n" for value in values))

    async def fail(self, problem: MobyError) -> None:
        """Docker's form of an error in a stream whose status line is long gone."""
        text = message(problem)
        await self.send({"errorDetail": {"message": text}, "error": text})

    async def end(self) -> web.StreamResponse:
        await self.open()
        await self.response.write_eof()
        return self.response


async def stream_bytes(
    request: web.BaseRequest,
    data: AsyncIterator[bytes],
    content_type: str = "application/x-tar",
    headers: Mapping[str, str] | None = None,
) -> web.StreamResponse:
    """Send `data` in chunks, no faster than the client reads. The first piece is awaited before the
    status line, so that errors of the producer's start are told. Afterwards the connection is cut
    short: a truncated archive must not look whole."""
    iterator = aiter(data)
    first = await anext(iterator, b"")
    response = web.StreamResponse(headers=headers)
    response.content_type = content_type
    await response.prepare(request)
    try:
        await response.write(first)
        async for piece in iterator:
            await response.write(piece)
    except MobyError as problem:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError(problem.message) from problem
    finally:
        close = getattr(iterator, "aclose", None)
        if close is not None:
            await close()
    await response.write_eof()
    return response
