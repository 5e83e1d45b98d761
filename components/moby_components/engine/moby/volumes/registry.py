"""The records of all volumes. A row is what was asked for; where the data lies is the driver's affair."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import replace

from moby_components.engine.moby.clock import now_ns, rfc3339
from moby_components.engine.moby.core import Core
from moby_components.engine.moby.names import new_id
from moby_components.engine.moby.rendering.text import refuse_nul
from moby_components.engine.moby.volumes.drivers import ANONYMOUS, Drivers, said_of
from moby_components.engine.moby.volumes.journal import Journal
from moby_components.engine.moby.volumes.transfer import Transfer
from moby_components.engine.moby.volumes.use import Use
from moby_py.errors import Conflict, MobyError, NotFound
from moby_py.kinds import VolumeDriver
from moby_py.model import Volume


class Volumes:
    """A volume's data is made before its row, and removed before it: killed in between, a driver holds
    a folder that nobody knows (it sweeps it when empty), never the engine a volume without data."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._drivers = Drivers(core.context.wiring)
        self._known = {volume.name: self._placed(volume) for volume in core.db.volumes()}
        self._locks: dict[str, asyncio.Lock] = {}
        self.journal = Journal(core.layout.state / "filling")
        self.use = Use(core, self)
        self.transfer = Transfer(core, self)

    def all(self) -> list[Volume]:
        return sorted(self._known.values(), key=lambda volume: volume.name)

    def get(self, name: str) -> Volume:
        found = self._known.get(name)
        if found is None:
            raise NotFound(f"get {name}: no such volume")
        return found

    def known(self, name: str) -> bool:
        return name in self._known

    def driver(self, volume: Volume) -> VolumeDriver:
        """Raises NotFound where the blueprint no longer has it."""
        return self._drivers.get(volume.driver)

    def plan(
        self,
        name: str = "",
        *,
        driver: str = "",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Volume:
        """The volume as it will be, or as it is. Raises InvalidArgument, NotFound (driver), Conflict."""
        refuse_nul({"Driver": driver, "DriverOpts": dict(options or {})})
        known = self._known.get(name)
        if known is not None:
            return self._agreed(known, driver, options or {})
        anonymous = not name
        name = name or new_id()
        with said_of("create", name):
            found = self._drivers.get(driver)
            found.check(name, options or {})
        return self._placed(
            Volume(
                name=name,
                driver=self._drivers.word(driver),
                mountpoint="",
                created=rfc3339(now_ns()),
                labels={**(labels or {}), **({ANONYMOUS: ""} if anonymous else {})},
                options=dict(options or {}),
                anonymous=anonymous,
            )
        )

    async def make(self, volumes: Iterable[Volume]) -> None:
        """The drivers make room for new volumes; all or none."""
        done: list[Volume] = []
        try:
            for volume in volumes:
                done.append(volume)
                async with self.lock(volume.name):
                    with said_of("create", volume.name):
                        await self.driver(volume).create(volume)
        except BaseException:
            await self.unmake(done)
            raise

    async def unmake(self, volumes: Iterable[Volume]) -> None:
        """What `make` did, for those that were not recorded after all."""
        for volume in volumes:
            async with self.lock(volume.name):
                if volume.name not in self._known:
                    with contextlib.suppress(MobyError, OSError):
                        await self.driver(volume).remove(volume)

    def record(self, volumes: Iterable[Volume]) -> None:
        """In the caller's transaction; `publish` once it holds."""
        for volume in volumes:
            self._core.db.add_volume(volume)

    def publish(self, volumes: Iterable[Volume]) -> None:
        for volume in volumes:
            self._known[volume.name] = volume
            self._core.events.emit("volume", "create", volume.name, {"driver": volume.driver})

    async def create(self, volume: Volume) -> Volume:
        """`volume` comes from `plan`. One that is there already is returned as it is."""
        if volume.name not in self._known:
            await self.make([volume])
            if volume.name not in self._known:
                with self._core.db.transaction(durable=True):
                    self.record([volume])
                self.publish([volume])
        return self._known[volume.name]

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Conflict while a container, running or not, uses it. `force`: no error when there is none,
        and none for a driver that is gone or does not answer."""
        if name not in self._known:
            if force:
                return
            self.get(name)
        self._refuse_used(name)
        async with self.lock(name):
            volume = self._known.get(name)
            if volume is None:
                return
            self._refuse_used(name)
            del self._known[name]  # nobody begins to use it while its driver works
            try:
                with said_of("remove", name):
                    await self.driver(volume).remove(volume)
            except MobyError as error:
                if not force:
                    self._known[name] = volume
                    raise
                self._core.log.warning("volume %s: %s - forgotten all the same", name, error)
            except BaseException:
                self._known[name] = volume
                raise
            with self._core.db.transaction(durable=True):
                self._core.db.forget_volume(name)
        if not self._known.get(name):
            self._locks.pop(name, None)
        self._core.events.emit("volume", "destroy", name, {"driver": volume.driver})

    async def remove_anonymous(self, names: Iterable[str]) -> None:
        """The anonymous volumes of a container that is gone; those that others use stay."""
        for name in names:
            if name in self._known and self._known[name].anonymous:
                try:
                    await self.remove(name)
                except (Conflict, NotFound):
                    continue
                except (MobyError, OSError) as error:
                    self._core.log.warning("anonymous volume %s stays: %s", name, error)

    async def inspect(self, name: str) -> Volume:
        """With what its driver tells of it, where the blueprint still has it."""
        volume = self.get(name)
        driver = self._drivers.find(volume.driver)
        return replace(volume, status=dict(await driver.status(volume))) if driver is not None else volume

    async def usage(self, name: str) -> int:
        """Bytes; -1 where nobody can tell."""
        volume = self.get(name)
        driver = self._drivers.find(volume.driver)
        return await driver.usage(volume) if driver is not None else -1

    def users(self, name: str) -> list[str]:
        """Ids of all containers that have it, in order of creation."""
        return [
            entry.id
            for entry in self._core.entries.values()
            if any(point.get("Name") == name for point in entry.record.mounts)
        ]

    async def recover(self) -> None:
        """After a start of the daemon, before anything is released: the drivers hear who may still live."""
        in_use: dict[str, list[str]] = {}
        for record in self._core.db.containers():
            if record.live or record.starting:
                for plan in record.plans:
                    if plan["type"] == "volume":
                        in_use.setdefault(plan["source"], []).append(record.id)
        self.use.adopt(in_use)
        await self._undo()
        for word, driver in self._drivers.all.items():
            own = [volume for volume in self.all() if volume.driver == word]
            used = {volume.name: in_use[volume.name] for volume in own if volume.name in in_use}
            try:
                await driver.recover(used, own)
            except (MobyError, OSError) as error:
                self._core.log.warning("volume driver %s cannot recover - %s", word, error)

    async def _undo(self) -> None:
        """Fillings that a kill cut short: whatever their drivers have of them goes."""
        for volume in self.journal.left():
            if volume.name not in self._known:
                driver = self._drivers.find(volume.driver)
                try:
                    if driver is not None:
                        await driver.remove(volume)
                except (MobyError, OSError) as error:
                    self._core.log.warning("volume %s was never whole and stays: %s", volume.name, error)
            self.journal.end(volume)

    def lock(self, name: str) -> asyncio.Lock:
        """Held around every call of a driver: never two at once for one volume."""
        return self._locks.setdefault(name, asyncio.Lock())

    def _refuse_used(self, name: str) -> None:
        users = [*self.users(name), *self.use.engine_users(name)]
        if users:
            raise Conflict(f"remove {name}: volume is in use - [{', '.join(users)}]")

    def _agreed(self, known: Volume, driver: str, options: Mapping[str, str]) -> Volume:
        """What is there must be what is asked for, where anything is asked for."""
        if driver and self._drivers.word(driver) != known.driver:
            raise Conflict(
                f"create {known.name}: driver '{known.driver}' already has volume '{known.name}': "
                "volume name must be unique"
            )
        if options and dict(known.options) != dict(options):
            raise Conflict(f"create {known.name}: conflict: volume already exists with different options")
        return known

    def _placed(self, volume: Volume) -> Volume:
        driver = self._drivers.find(volume.driver)
        return replace(volume, mountpoint=driver.mountpoint(volume) if driver is not None else "")
