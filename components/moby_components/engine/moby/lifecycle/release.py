"""The undo of a start, step by step in reverse. Every step is idempotent and says what it undoes, so
that the end of a run, a failed start and the start after a crash all take the same way."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

from moby_components.common import mounts
from moby_components.engine.moby import secrets_mount
from moby_components.engine.moby.archives.views import GRACE
from moby_components.engine.moby.core import Core
from moby_components.engine.moby.entry import Entry
from moby_components.engine.moby.logs.rotate import Rotator
from moby_components.engine.moby.networking import endpoints
from moby_components.engine.moby.volumes import Volumes, image_mounts, stage
from moby_py.errors import MobyError


class Releaser:
    def __init__(self, core: Core, volumes: Volumes, rotator: Rotator) -> None:
        self._core = core
        self._volumes = volumes
        self._rotator = rotator

    async def release(self, entry: Entry) -> None:
        """Nothing of the present run stays but its log and the writable layer. A step that fails is
        logged and does not keep the others from being done."""
        self._rotator.unwatch(entry.id)
        steps: tuple[Callable[[Entry], Awaitable[None]], ...] = (
            self._task,
            self._network,
            self._mounts,
            self._use_of_volumes,
            self._images,
        )
        for step in steps:
            try:
                await step(entry)
            except (MobyError, OSError) as error:
                self._core.log.warning(
                    "cleaning up container %s: %s: %s", entry.id[:12], step.__name__.strip("_"), error
                )

    async def _task(self, entry: Entry) -> None:
        runtime = self._core.runtimes.get(entry.record.runtime)
        if runtime is not None:
            await runtime.delete(entry.id)

    async def _network(self, entry: Entry) -> None:
        await endpoints.leave(self._core, entry)

    async def _mounts(self, entry: Entry) -> None:
        await entry.views.settle(0 if self._core.closing else GRACE)
        await asyncio.to_thread(sweep, self._core, entry.id)

    async def _use_of_volumes(self, entry: Entry) -> None:
        for plan in entry.record.plans:
            if plan["type"] == "volume":
                await self._volumes.use.close(plan["source"], entry.id)

    async def _images(self, entry: Entry) -> None:
        await image_mounts.release(self._core, entry.record)


def sweep(core: Core, id: str) -> None:
    """Mounts and files in RUN of one container, known or not. Blocking; idempotent."""
    secrets_mount.withdraw(core.layout.secrets(id))
    stage.withdraw(core.layout.stage(id))
    for folder in (core.layout.rootfs(id), core.layout.shm(id)):
        if folder.is_dir():
            _unmount(folder)
            folder.rmdir()
    shutil.rmtree(core.layout.files(id), ignore_errors=True)
    pinned = core.layout.netns(id)
    if pinned.exists():
        _unmount(pinned)
        pinned.unlink(missing_ok=True)


def _unmount(path: Path) -> None:
    """The usual case first: it needs no look at all the host's mounts."""
    try:
        while mounts.umount(path):
            pass
    except OSError:
        mounts.umount_all(path)


def leftovers(core: Core) -> set[str]:
    """Ids that have anything in RUN."""
    return {path.name for folder in core.layout.per_container() for path in _children(folder)}


def _children(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []
