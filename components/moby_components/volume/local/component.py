"""The component: one folder per volume, and the mounts of those that have options.

    STATE/NAME/_data        the data; where `type` and `device` are set, a mount point
    STATE/.going-*          a removal or an import under way; what a kill left is swept at the next start

A name cannot begin with a dot, so what is going away is never taken for a volume.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
import shutil
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from moby_components.common import mounts
from moby_components.volume.local import mounting
from moby_components.volume.local.options import check_name, check_options, needs_mount
from moby_py.errors import Conflict, InvalidArgument
from moby_py.kinds import VolumeDriver
from moby_py.model import Volume

_GOING = ".going-"


class Local(VolumeDriver):
    """Docker's driver of this name."""

    name: ClassVar[str] = "local"
    summary: ClassVar[str] = "folders of this host, or what mount options put there (bind, tmpfs, nfs, ...)"

    async def open(self) -> None:
        self._root = self.context.dirs.state
        self._users: dict[str, set[str]] = {}
        self._sweeping: asyncio.Task[None] | None = None
        self._closing = threading.Event()
        self._adopt()

    async def close(self) -> None:
        """A sweep that is under way goes on at the next start."""
        self._closing.set()
        if self._sweeping is not None:
            await asyncio.gather(self._sweeping, return_exceptions=True)

    def check(self, name: str, options: Mapping[str, str]) -> None:
        check_name(name, self._root)
        check_options(options)

    def mountpoint(self, volume: Volume) -> str:
        return str(self._data(volume))

    async def create(self, volume: Volume) -> None:
        self.check(volume.name, volume.options)
        folder = self._data(volume)
        try:
            folder.parent.mkdir(mode=0o701, exist_ok=True)
            folder.mkdir(mode=0o755, exist_ok=True)
        except BaseException:
            with contextlib.suppress(OSError):
                folder.parent.rmdir()
            raise

    async def mount(self, volume: Volume, user: str) -> Path:
        folder = self._data(volume)
        if needs_mount(volume.options) and not mounts.is_mounted(folder):
            await asyncio.to_thread(mounting.mount, volume.options, folder)
        self._users.setdefault(volume.name, set()).add(user)
        return folder

    async def unmount(self, volume: Volume, user: str) -> None:
        users = self._users.get(volume.name, set())
        users.discard(user)
        if users:
            return
        self._users.pop(volume.name, None)
        if needs_mount(volume.options):
            await asyncio.to_thread(mounts.umount, self._data(volume), lazy=True)

    async def remove(self, volume: Volume) -> None:
        if self._users.get(volume.name):
            raise Conflict("volume is in use")
        folder = self._root / volume.name
        await asyncio.to_thread(self._remove, folder)

    async def fill(self, volume: Volume, work: Callable[[Path], Awaitable[None]]) -> None:
        """Beside the volume, and then one rename: the kernel lets it take the place of an empty folder."""
        if volume.options.get("type") in ("tmpfs", "ramfs"):
            raise InvalidArgument("its data is in memory and gone when nobody uses it")
        if needs_mount(volume.options):
            await super().fill(volume, work)
            return
        stage = self._root / f"{_GOING}{secrets.token_hex(8)}"
        stage.mkdir(mode=0o700)
        try:
            data = stage / "_data"
            data.mkdir(mode=0o755)
            await work(data)
            data.rename(self._data(volume))
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            raise Conflict("the volume holds data - only an empty one can be filled") from None
        finally:
            await asyncio.to_thread(self._delete, stage)

    async def usage(self, volume: Volume) -> int:
        """Of a volume with a mount of its own nobody asks: a server's whole tree would be walked."""
        from moby_components.common.tree.size import tree_size

        if needs_mount(volume.options):
            return -1
        return await asyncio.to_thread(tree_size, self._data(volume))

    async def recover(self, in_use: Mapping[str, Sequence[str]], volumes: Sequence[Volume]) -> None:
        self._users = {name: set(users) for name, users in in_use.items() if users}
        known = {volume.name for volume in volumes}
        for path in reversed(mounts.mounted_under(self._root)):
            if Path(path).parent.name not in self._users:
                await asyncio.to_thread(mounts.umount, path, lazy=True)
        for folder in self._root.iterdir():
            if folder.name not in known and not folder.name.startswith("."):
                # A killed create. What holds anything is left alone: a lost database is no order to delete.
                with contextlib.suppress(OSError):
                    (folder / "_data").rmdir()
                with contextlib.suppress(OSError):
                    folder.rmdir()
        if any(self._root.glob(f"{_GOING}*")):
            self._sweeping = asyncio.create_task(asyncio.to_thread(self._sweep), name="sweep of volumes")

    def _remove(self, folder: Path) -> None:
        """Renamed first: killed in the middle, half a volume is never taken for one."""
        while mounts.umount(folder / "_data", lazy=True):
            pass
        going = self._root / f"{_GOING}{secrets.token_hex(8)}"
        try:
            folder.rename(going)
        except FileNotFoundError:
            return
        self._delete(going)

    def _sweep(self) -> None:
        for path in self._root.glob(f"{_GOING}*"):
            if mounts.mounted_under(path):
                continue
            # By hand, folder by folder: the daemon's end must not wait for a million files.
            for _, folders, files, folder in os.fwalk(path, topdown=False):
                if self._closing.is_set():
                    return
                for name in files:
                    with contextlib.suppress(OSError):
                        os.unlink(name, dir_fd=folder)
                for name in folders:
                    with contextlib.suppress(OSError):
                        os.rmdir(name, dir_fd=folder)
            self._delete(path)

    def _delete(self, path: Path) -> None:
        """Never through a mount: what is bound there belongs to somebody else."""
        if mounts.mounted_under(path):
            self.log.warning("%s is left alone - something is mounted below it", path)
            return
        shutil.rmtree(path, ignore_errors=True)

    def _adopt(self) -> None:
        """Volumes of platforms made before there were drivers: the engine kept them itself."""
        for older in self.context.platform.state.glob("engine/*/volumes"):
            for folder in older.iterdir():
                if (folder / "_data").is_dir() and not (self._root / folder.name).exists():
                    folder.rename(self._root / folder.name)
            with contextlib.suppress(OSError):
                older.rmdir()

    def _data(self, volume: Volume) -> Path:
        return self._root / volume.name / "_data"
