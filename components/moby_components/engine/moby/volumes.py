"""Volumes of the driver "local": folders below STATE/volumes, or what `type`, `o`, `device` mount there."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from moby_components.common import mounts
from moby_components.engine.moby.clock import now_ns, rfc3339
from moby_components.engine.moby.core import Core
from moby_components.engine.moby.names import new_id
from moby_components.engine.moby.rendering.mounts import check_volume_name
from moby_py.errors import Conflict, InvalidArgument, NotFound, RuntimeFailed
from moby_py.model import Volume

_GOING = ".going-"
_OPTIONS = frozenset({"type", "o", "device"})


class Volumes:
    """The rows are the truth; a folder is made when it is first needed, and again if it is missing."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._root = core.layout.volumes
        self._known = {volume.name: volume for volume in core.db.volumes(self._root)}
        self._locks: dict[str, asyncio.Lock] = {}

    def all(self) -> list[Volume]:
        return sorted(self._known.values(), key=lambda volume: volume.name)

    def get(self, name: str) -> Volume:
        found = self._known.get(name)
        if found is None:
            raise NotFound(f"get {name}: no such volume")
        return found

    def known(self, name: str) -> bool:
        return name in self._known

    def plan(
        self,
        name: str = "",
        *,
        driver: str = "local",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Volume:
        """The volume as it will be; nothing is recorded. Raises InvalidArgument, NotFound (driver)."""
        if driver not in ("", "local"):
            raise NotFound(f'error looking up volume plugin {driver}: plugin "{driver}" not found')
        unknown = sorted(set(options or {}) - _OPTIONS)
        if unknown:
            raise InvalidArgument(f'create {name or "volume"}: invalid option: "{unknown[0]}"')
        if options and not options.get("device"):
            raise InvalidArgument(f'create {name or "volume"}: missing required option: "device"')
        if name:
            check_volume_name(name)
        anonymous = not name
        name = name or new_id()
        return Volume(
            name=name,
            driver="local",
            mountpoint=str(self._root / name / "_data"),
            created=rfc3339(now_ns()),
            labels={**(labels or {}), **({"com.docker.volume.anonymous": ""} if anonymous else {})},
            options=dict(options or {}),
            anonymous=anonymous,
        )

    def record(self, volumes: Iterable[Volume]) -> None:
        """In the caller's transaction; `publish` once it holds."""
        for volume in volumes:
            self._core.db.add_volume(volume)

    def publish(self, volumes: Iterable[Volume]) -> None:
        for volume in volumes:
            self._known[volume.name] = volume
            self._core.events.emit("volume", "create", volume.name, {"driver": volume.driver})

    def create(self, volume: Volume) -> Volume:
        """An existing name is returned as it is; Conflict when it was made with other options."""
        known = self._known.get(volume.name)
        if known is not None:
            if volume.options and dict(known.options) != dict(volume.options):
                raise Conflict(
                    f"create {volume.name}: conflict: volume already exists with different options"
                )
            return known
        with self._core.db.transaction(durable=True):
            self.record([volume])
        self.publish([volume])
        self._folder(volume.name)
        return volume

    async def open(self, name: str, container: str) -> Path:
        """The folder to bind, with the volume's own mount on it where it has one."""
        volume = self.get(name)
        async with self._lock(name):
            folder = self._folder(name)
            if volume.options and not mounts.is_mounted(folder):
                await asyncio.to_thread(_mount, volume, folder)
        self._core.events.emit(
            "volume", "mount", name, {"container": container, "driver": "local", "propagation": ""}
        )
        return folder

    async def close(self, name: str, container: str) -> None:
        """The container ended: the last user takes the volume's own mount along. Idempotent."""
        if name not in self._known:
            return
        async with self._lock(name):
            if self._known[name].options and not self._live_users(name, container):
                await asyncio.to_thread(mounts.umount, self._data(name), lazy=True)
        self._core.events.emit("volume", "unmount", name, {"container": container, "driver": "local"})

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Conflict while a container, running or not, uses it. `force`: no error when there is none."""
        if name not in self._known:
            if force:
                return
            self.get(name)
        users = self.users(name)
        if users:
            raise Conflict(f"remove {name}: volume is in use - [{', '.join(users)}]")
        async with self._lock(name):
            if name not in self._known or self.users(name):
                return
            if self._known[name].options:
                await asyncio.to_thread(mounts.umount, self._data(name), lazy=True)
            # Renamed first: what a kill leaves is told from a volume by its name, and swept at the start.
            going = self._root / f"{_GOING}{name}"
            with contextlib.suppress(FileNotFoundError):
                (self._root / name).rename(going)
            del self._known[name]
            with self._core.db.transaction(durable=True):
                self._core.db.forget_volume(name)
            await asyncio.to_thread(shutil.rmtree, going, True)
        self._locks.pop(name, None)
        self._core.events.emit("volume", "destroy", name, {"driver": "local"})

    async def remove_anonymous(self, names: Iterable[str]) -> None:
        """The anonymous volumes of a container that is gone; those that others use stay."""
        for name in names:
            if name in self._known and self._known[name].anonymous:
                with contextlib.suppress(Conflict):
                    await self.remove(name, force=True)

    def users(self, name: str) -> list[str]:
        """Ids of all containers that have it, in order of creation."""
        return [
            entry.id
            for entry in self._core.entries.values()
            if any(point.get("Name") == name for point in entry.record.mounts)
        ]

    def sweep(self) -> None:
        """After a start of the daemon: folders whose removal a kill cut short."""
        for path in self._root.glob(f"{_GOING}*"):
            shutil.rmtree(path, ignore_errors=True)

    def _live_users(self, name: str, but: str) -> bool:
        return any(id != but and self._core.entries[id].record.live for id in self.users(name))

    def _folder(self, name: str) -> Path:
        path = self._root / name
        path.mkdir(mode=0o701, exist_ok=True)
        data = path / "_data"
        data.mkdir(mode=0o755, exist_ok=True)
        return data

    def _data(self, name: str) -> Path:
        return self._root / name / "_data"

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())


def _mount(volume: Volume, folder: Path) -> None:
    kind, device = volume.options.get("type", "none"), volume.options["device"]
    words = [word for word in volume.options.get("o", "").split(",") if word]
    bind = kind in ("none", "bind", "") or {"bind", "rbind"} & set(words)
    try:
        mounts.mount("bind" if bind else kind, device, folder, words)
    except OSError as error:
        raise RuntimeFailed(
            f"failed to mount local volume: mount {device}:{folder}: {error.strerror}",
            hint=f"see its options: docker volume inspect {volume.name}",
        ) from error
