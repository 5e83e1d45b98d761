"""A raw HTTP server whose every byte a test decides: what no honest registry would send."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes = b""


Handler = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Raw:
    address: str
    requests: list[Request] = field(default_factory=list)

    def of(self, part: str) -> list[Request]:
        return [r for r in self.requests if part in r.path]


@asynccontextmanager
async def raw(handler: Handler) -> AsyncIterator[Raw]:
    """Each connection: one request, `handler` writes what it likes, close. TLS is hung up on."""
    found = Raw("")
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        running.add(task)
        try:
            first = await reader.readexactly(1)
            if first == b"\x16":
                return
            head = first + await reader.readuntil(b"\r\n\r\n")
            line, *rest = head.decode("latin-1").split("\r\n")
            method, path, _ = line.split(" ")
            headers = {k.lower(): v.strip() for k, _, v in (h.partition(":") for h in rest if h)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            request = Request(method, path, headers, body)
            found.requests.append(request)
            await handler(request, writer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            running.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    found.address = "{}:{}".format(*server.sockets[0].getsockname())
    try:
        yield found
    finally:
        server.close()
        for task in [*running]:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await server.wait_closed()


def answer(
    writer: asyncio.StreamWriter,
    status: int = 200,
    body: bytes = b"",
    *,
    length: int | None = -1,
    **headers: str,
) -> None:
    """An HTTP answer; `length` None leaves Content-Length out. Header names: _ for -."""
    lines = [f"HTTP/1.1 {status} X", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if length is not None:
        lines.append(f"Content-Length: {len(body) if length == -1 else length}")
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def manifest(layer: bytes = b"layer", **changes: Any) -> bytes:
    """A well-formed image manifest of one layer, with `changes` laid over it."""
    body = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": sha256(b"{}"), "size": 2},
        "layers": [{"mediaType": LAYER, "digest": sha256(layer), "size": len(layer)}],
    } | changes
    return json.dumps({k: v for k, v in body.items() if v is not None}).encode()
