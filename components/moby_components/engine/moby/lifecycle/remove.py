"""`rm`: stop it if forced, undo what is left of its run, its writable layer, its log, its row."""

from __future__ import annotations

import asyncio
import shutil

from moby_components.engine.moby.core import Core
from moby_components.engine.moby.entry import Entry
from moby_components.engine.moby.lifecycle.release import Releaser
from moby_components.engine.moby.lifecycle.stop import Stopper
from moby_components.engine.moby.lifecycle.watch import Watcher
from moby_components.engine.moby.names import check_name
from moby_components.engine.moby.networking import endpoints
from moby_components.engine.moby.volumes import Volumes
from moby_py.errors import AlreadyExists, InvalidArgument


class Remover:
    def __init__(
        self, core: Core, volumes: Volumes, releaser: Releaser, stopper: Stopper, watcher: Watcher
    ) -> None:
        self._core = core
        self._volumes = volumes
        self._releaser = releaser
        self._stopper = stopper
        self._watcher = watcher
        watcher.remove = self._auto_remove

    async def remove(self, ref: str, *, force: bool, volumes: bool) -> None:
        entry = self._core.get(ref)
        if force:
            await self._stopper.force_down(entry)
            if entry.removal is not None:  # --rm was faster
                await asyncio.shield(entry.removal)
                return
        async with self._core.locked(entry.id, "force-remove" if force else "remove"):
            await self.erase(entry)
        if volumes:
            await self._volumes.remove_anonymous(entry.record.volumes)

    async def _auto_remove(self, entry: Entry) -> None:
        async with self._core.locked(entry.id, "remove"):
            await self.erase(entry)
        await self._volumes.remove_anonymous(entry.record.volumes)

    async def erase(self, entry: Entry) -> None:
        """With the lock held. Begun again at the next start when the daemon is killed in the middle."""
        core = self._core
        entry.move("removal")
        core.save(entry)
        try:
            await self._releaser.release(entry)
            await self._watcher.last_lines(entry)
            await core.store.release(entry.id)
            await asyncio.to_thread(shutil.rmtree, core.layout.containers / entry.id, True)
        except Exception as error:
            entry.move("failed")
            entry.record.error = str(error)
            core.save(entry)
            raise
        core.networks.give_back(entry.id)
        core.forget(entry)
        for pending in list(entry.pending):
            pending.fail()
        core.happened(entry, "destroy")
        entry.tell(removed=True)

    async def rename(self, ref: str, name: str) -> None:
        if not name:
            raise InvalidArgument("Neither old nor new names may be empty")
        new = check_name(name)
        async with self._core.locked(ref, "rename") as entry:
            old = entry.record.name
            if new == old:
                raise InvalidArgument("Renaming a container with the same name as its current name")
            if new in self._core.names:
                raise AlreadyExists(
                    f'Conflict. The container name "/{new}" is already in use by container '
                    f'"{self._core.names[new]}". You have to remove (or rename) that container to be able '
                    "to reuse that name."
                )
            entry.record.name = new
            endpoints.rename(self._core, entry)
            self._core.save(entry)
            del self._core.names[old]
            self._core.names[new] = entry.id
            self._core.happened(entry, "rename", oldName=f"/{old}")
            await self._core.naming.update(entry)
