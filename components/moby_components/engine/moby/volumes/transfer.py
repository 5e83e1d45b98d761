"""Volumes on the move: out as a tar, in from one, and from one volume into another."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from moby_components.common.tree.copy import copy_tree
from moby_components.common.tree.extract import Rules
from moby_components.common.tree.pack import end, pack
from moby_components.common.tree.unpack import ArchiveLimits, Unpacked, unpack
from moby_components.engine.moby.archives.streams import Inlet, Outlet, Pieces, Stopped, pour
from moby_components.engine.moby.core import Core
from moby_components.engine.moby.volumes.drivers import ANONYMOUS, said_of
from moby_py.errors import Conflict, DataError, InvalidArgument
from moby_py.model import Volume

if TYPE_CHECKING:
    from moby_components.engine.moby.volumes.registry import Volumes

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class _ImportLimits(ArchiveLimits):
    ways: ClassVar[Mapping[str, str]] = {
        "size": "raise the engine's option volume_import_size if this archive is meant"
    }


class Transfer:
    """Bytes go through a few pieces at a time; a client that leaves ends the work."""

    def __init__(self, core: Core, volumes: Volumes) -> None:
        self._core = core
        self._volumes = volumes

    def export(self, name: str) -> AsyncIterator[bytes]:
        """Raises NotFound at once. A volume that containers write meanwhile gives a whole tar of what
        was there when its turn came."""
        volume = self._volumes.get(name)
        self._volumes.driver(volume)
        return self._export(name)

    async def _export(self, name: str) -> AsyncIterator[bytes]:
        outlet = Outlet()

        def work(folder: Path) -> None:
            try:
                with _opened(folder) as top:
                    pack(top, outlet.write)
                    end(outlet.write)
                    outlet.end()
            except Stopped:
                return  # the client left

        async with self._volumes.use.borrowed(name) as folder:
            pieces = Pieces(outlet, asyncio.ensure_future(asyncio.to_thread(work, folder)))
            try:
                async for piece in pieces:
                    yield piece
            finally:
                await pieces.aclose()
        self._core.events.emit("volume", "export", name, {})

    async def import_(self, name: str, data: AsyncIterator[bytes]) -> Volume:
        """See the contract: a new volume of the default driver, or one that is there and empty."""
        if not name:
            raise InvalidArgument("import needs the name of a volume")
        inlet = Inlet()
        most = int(self._core.context.options.get("volume_import_size") or 0)
        limits = _ImportLimits(size=most) if most else ArchiveLimits()
        rules = Rules(what="the archive", absolute=False, lenient=self._core.context.platform.rootless)

        def work(folder: Path) -> Unpacked:
            with _opened(folder) as top:
                return unpack(iter(inlet), top, rules=rules, limits=limits)

        async def fill(folder: Path) -> None:
            task = asyncio.ensure_future(asyncio.to_thread(work, folder))
            try:
                await pour(inlet, data, task)  # type: ignore[arg-type]
            except DataError as error:
                raise InvalidArgument(error.message, hint=error.hint) from error
            for note, count in task.result().notes.items():
                self._core.log.warning("import of volume %s: %s (%d)", name, note, count)

        return await self._fill("import", self._volumes.plan(name), fill)

    async def clone(self, source: str, name: str) -> Volume:
        """The copy is taken while containers may write: what is half-written is copied so."""
        original = self._volumes.get(source)
        if self._volumes.known(name):
            raise Conflict(f"clone {source}: volume {name} already exists")
        labels = {key: value for key, value in original.labels.items() if key != ANONYMOUS}
        planned = self._volumes.plan(
            name, driver=original.driver, options=dict(original.options), labels=labels
        )
        stop = asyncio.Event()

        def check() -> None:
            if stop.is_set():
                raise Stopped

        def work(folder: Path, target: Path) -> None:
            with _opened(folder) as old, _opened(target) as new:
                copy_tree(old, new, check=check)

        async def fill(target: Path) -> None:
            async with self._volumes.use.borrowed(source) as folder:
                task = asyncio.ensure_future(asyncio.to_thread(work, folder, target))
                try:
                    await asyncio.shield(task)
                except asyncio.CancelledError:
                    stop.set()
                    await asyncio.wait([task])
                    task.exception()
                    raise

        return await self._fill("clone", planned, fill)

    async def _fill(self, what: str, volume: Volume, work: Callable[[Path], Awaitable[None]]) -> Volume:
        """Nobody sees a new volume before it is whole; one that was there stays empty until then."""
        name = volume.name
        fresh = not self._volumes.known(name)
        live = [id for id in self._volumes.users(name) if self._core.entries[id].record.active]
        if live:
            raise Conflict(f"{what} {name}: volume is in use - [{', '.join(live)}]")
        with self._volumes.use.filling(what, name):
            driver = self._volumes.driver(volume)
            if fresh:
                self._volumes.journal.begin(volume)
            try:
                with said_of(what, name):
                    await driver.create(volume)
                    await driver.fill(volume, work)
                if fresh:
                    with self._core.db.transaction(durable=True):
                        self._volumes.record([volume])
                    self._volumes.publish([volume])
            except BaseException:
                if fresh:
                    await self._volumes.unmake([volume])
                raise
            finally:
                if fresh:
                    self._volumes.journal.end(volume)
        self._core.events.emit("volume", what, name, {"driver": volume.driver})
        return volume


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, _FOLDER)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
