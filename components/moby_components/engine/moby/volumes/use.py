"""Who has which volume open: containers that run, and the engine itself while it copies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from moby_components.engine.moby.core import Core
from moby_components.engine.moby.names import new_id
from moby_components.engine.moby.volumes.drivers import said_of
from moby_py.errors import Conflict

if TYPE_CHECKING:
    from moby_components.engine.moby.volumes.registry import Volumes


class Use:
    """Drivers are told every user by its id; the count is theirs."""

    def __init__(self, core: Core, volumes: Volumes) -> None:
        self._core = core
        self._volumes = volumes
        self._own: dict[str, set[str]] = {}
        self._filling: dict[str, str] = {}
        self._mounted: set[tuple[str, str]] = set()
        """(volume, container) with a mount that was told and an unmount that was not."""

    def engine_users(self, name: str) -> list[str]:
        """What the engine itself does with it: ids of copies under way, or the word for its filling."""
        found = sorted(self._own.get(name, ()))
        return [*found, self._filling[name]] if name in self._filling else found

    @contextlib.contextmanager
    def filling(self, what: str, name: str) -> Iterator[None]:
        """Nobody else opens, fills or removes it meanwhile. Raises Conflict."""
        users = self.engine_users(name)
        if users:
            raise Conflict(f"{what} {name}: volume is in use - [{', '.join(users)}]")
        self._filling[name] = what
        try:
            yield
        finally:
            del self._filling[name]

    def refuse_filling(self, name: str) -> None:
        if name in self._filling:
            raise Conflict(f"volume {name} is in use - {self._filling[name]} is under way")

    async def open(self, name: str, container: str, *, propagation: str = "") -> Path:
        """The folder to bind into a container. `close` it even when the start fails later."""
        volume = self._volumes.get(name)
        driver = self._volumes.driver(volume)
        self.refuse_filling(name)
        async with self._volumes.lock(name):
            with said_of("error while mounting volume", f"'{name}'"):
                await driver.create(volume)  # idempotent: makes up for a kill, or a state that was lost
                folder = await driver.mount(volume, container)
        self._mounted.add((name, container))
        self._core.events.emit(
            "volume",
            "mount",
            name,
            {"container": container, "driver": volume.driver, "propagation": propagation},
        )
        return folder

    async def close(self, name: str, container: str) -> None:
        """The container ended. Idempotent, also for a volume or a driver that is gone."""
        if not self._volumes.known(name):
            return
        volume = self._volumes.get(name)
        async with self._volumes.lock(name):
            await self._volumes.driver(volume).unmount(volume, container)
        if (name, container) in self._mounted:
            self._mounted.discard((name, container))
            attributes = {"container": container, "driver": volume.driver}
            self._core.events.emit("volume", "unmount", name, attributes)

    def adopt(self, in_use: Mapping[str, Iterable[str]]) -> None:
        """Who may still have them after a start of the daemon: volume -> containers."""
        self._mounted = {(name, container) for name, users in in_use.items() for container in users}

    async def once(self, name: str, work: Callable[..., object], *args: object) -> None:
        """Blocking work on a volume, in a thread, while nobody else does any."""
        async with self._volumes.lock(name):
            await asyncio.to_thread(work, *args)

    @contextlib.asynccontextmanager
    async def borrowed(self, name: str) -> AsyncIterator[Path]:
        """The folder, open for the engine's own work; the volume cannot be removed meanwhile."""
        volume = self._volumes.get(name)
        driver = self._volumes.driver(volume)
        self.refuse_filling(name)
        user = new_id()
        self._own.setdefault(name, set()).add(user)
        try:
            async with self._volumes.lock(name):
                await driver.create(volume)
                folder = await driver.mount(volume, user)
            try:
                yield folder
            finally:
                async with self._volumes.lock(name):
                    await driver.unmount(volume, user)
        finally:
            self._own[name].discard(user)
            if not self._own[name]:
                del self._own[name]
