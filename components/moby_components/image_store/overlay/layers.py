"""Layers from blob to directory: each unpacked once, whoever asks, however many at the same time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from moby_components.image_store.overlay.content.index import Layer
from moby_components.image_store.overlay.stock import Stock, layer_name
from moby_components.image_store.overlay.threads import in_thread
from moby_components.image_store.overlay.unpack import worker
from moby_components.image_store.overlay.unpack.extract import unpack
from moby_components.image_store.overlay.unpack.facts import Facts
from moby_components.image_store.overlay.unpack.rebase import rebase
from moby_py.errors import DataError, Unavailable

_SMALL = 4 << 20
"""Compressed bytes up to which a thread is quicker than starting a process (some 60 ms)."""


class Layers:
    """`workers` unpack at the same time at most."""

    def __init__(self, stock: Stock, workers: int | None = None) -> None:
        self._stock = stock
        self._slots = asyncio.Semaphore(workers or max(2, os.cpu_count() or 1))

    async def ensure(
        self,
        chain: str,
        parent: str,
        diff: str,
        blob: str,
        *,
        below: Callable[[], Awaitable[None]] | None = None,
        started: Callable[[], None] | None = None,
    ) -> Layer:
        """The unpacked layer. `below` is awaited until the parent layer is in place; this one is unpacked
        meanwhile. `started` is called if there is anything to do. The caller leases chain and blob.
        Raises DataError (nothing is kept), Unavailable."""
        stock = self._stock
        async with stock.locks.hold(chain):
            if found := stock.index.layer(chain):
                return found
            if started:
                started()
            async with self._directory() as folder:
                facts = await self._unpack(blob, folder)
                if facts.diff_id != diff:
                    raise DataError(
                        f"layer {_short(blob)} is not what its image says - its content is {facts.diff_id}",
                        hint="the image was built or copied wrongly; pull it again or ask whoever made it",
                    )
                if below is not None:
                    await below()
                opaque = await in_thread(
                    rebase,
                    folder,
                    stock.view(parent),
                    facts,
                    prefix=stock.mode.prefix,
                    what=_what(blob),
                    lenient=stock.lenient,
                )
                for note, count in facts.notes.items():
                    stock.log.warning("layer %s: %s (%d)", _short(blob), note, count)
                number = stock.index.next_layer()
                folder.rename(stock.layers / layer_name(number))
                layer = Layer(
                    number=number,
                    chain=chain,
                    parent=parent,
                    diff=diff,
                    size=facts.size,
                    opaque=tuple(os.fsdecode(path) for path in opaque),
                )
                stock.index.put_layer(layer)
                return layer

    @contextlib.asynccontextmanager
    async def _directory(self) -> AsyncIterator[Path]:
        """An empty directory that goes away unless it was renamed to its place."""
        folder = self._stock.scratch / f"layer-{secrets.token_hex(8)}"
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            if self._stock.trash.throw(folder):
                await self._stock.emptied()

    async def _unpack(self, blob: str, folder: Path) -> Facts:
        stock = self._stock
        path = stock.blobs.path(blob)
        async with self._slots:
            if stock.blobs.size(blob) > _SMALL:
                return await self._in_process(path, folder, _what(blob))
            return await in_thread(
                unpack, path, folder, limits=stock.limits, what=_what(blob), rootless=stock.lenient
            )

    async def _in_process(self, path: Path, folder: Path, what: str) -> Facts:
        stock = self._stock
        process = await asyncio.create_subprocess_exec(
            *worker.command(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 26,
        )
        try:
            job = worker.encode_job(path, folder, limits=stock.limits, what=what, rootless=stock.lenient)
            if process.stdin is None or process.stdout is None:  # pragma: no cover - both were asked for
                raise Unavailable(f"cannot unpack {what} - no pipe to the worker")
            process.stdin.write(job)
            await process.stdin.drain()
            output = await process.stdout.read()
        finally:
            # The end of its stdin ends the worker. Popen.kill would not do: it reaps the process
            # behind asyncio's back, whose watcher then reports a made-up exit status.
            if process.stdin is not None:
                process.stdin.close()
            await asyncio.shield(process.wait())
        return _answer(output, what)


def _answer(output: bytes, what: str) -> Facts:
    try:
        answer = json.loads(output)
    except ValueError:
        raise Unavailable(
            f"cannot unpack {what} - the unpacking process died", hint="is there enough memory?"
        ) from None
    if "error" in answer:
        raise worker.decode_error(answer)
    return Facts.loads(answer["facts"])


def _what(blob: str) -> str:
    return f"layer {_short(blob)}"


def _short(digest: str) -> str:
    return digest.partition(":")[2][:12]
