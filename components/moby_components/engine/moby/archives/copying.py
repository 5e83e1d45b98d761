"""docker cp and docker export: each one piece of work with a container's files, errors in Docker's words."""

from __future__ import annotations

import asyncio
import errno
import os
import re
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from moby_components.common.inroot import open_in_root
from moby_components.common.users import resolve
from moby_components.engine.moby.archives.access import Access
from moby_components.engine.moby.archives.packing import pack_path, pack_root, unpack_into
from moby_components.engine.moby.archives.paths import absolute, inside, path_stat
from moby_components.engine.moby.archives.streams import Inlet, Outlet, Pieces, pour
from moby_components.engine.moby.core import Core
from moby_components.engine.moby.volumes import Volumes
from moby_py.errors import (
    DataError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    RuntimeFailed,
    Unavailable,
)
from moby_py.model import PathStat

_USERS_FAULT = (errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EXDEV, errno.ENOENT)


class Archives:
    def __init__(self, core: Core, volumes: Volumes) -> None:
        self._core = core
        self._access = Access(core, volumes)
        self._work: set[asyncio.Task[None]] = set()

    async def stat(self, ref: str, path: str) -> PathStat:
        def look(root: Path) -> PathStat:
            with _told(ref, path):
                return path_stat(root, path)

        return await self._access.run(ref, look)

    async def get(self, ref: str, path: str) -> tuple[PathStat, AsyncIterator[bytes]]:
        loop = asyncio.get_running_loop()
        known: asyncio.Future[PathStat] = loop.create_future()
        outlet = Outlet()

        def copy(root: Path) -> None:
            with _told(ref, path):
                found = path_stat(root, path)
                loop.call_soon_threadsafe(_settle, known, found)
                pack_path(root, path, outlet.write)
                outlet.end()

        work = self._spawn(self._access.run(ref, copy, stop=outlet.stop), f"copy from {ref}")
        pieces = Pieces(outlet, work)
        waiting: set[asyncio.Future[Any]] = {known, work}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if not known.done():
                await work
        except BaseException:
            outlet.stop.set()
            raise
        return known.result(), pieces

    async def put(
        self,
        ref: str,
        path: str,
        data: AsyncIterator[bytes],
        *,
        overwrite_dir_with_file: bool,
        keep_owners: bool,
    ) -> None:
        """Owners come as the archive says; with `keep_owners` (Docker's copyUIDGID) those of a container
        with a user of its own become that user's, which is what Docker does."""
        entry = self._core.get(ref)
        user = str(entry.record.intent.get("User") or "") if keep_owners else ""
        inlet = Inlet()

        def copy(root: Path) -> None:
            with _told(ref, path):
                folder = _folder(root, path)
                found = resolve(root, user) if user else None
                try:
                    unpack_into(
                        root,
                        folder,
                        inlet,
                        owner=(found.uid, found.gid) if found else None,
                        mix=overwrite_dir_with_file,
                        lenient=self._core.context.platform.rootless or os.geteuid() != 0,
                    )
                except DataError as error:
                    raise InvalidArgument(error.message, hint=error.hint) from error

        work = self._spawn(self._access.run(ref, copy, stop=inlet.stop), f"copy to {ref}")
        await pour(inlet, data, work)

    async def export(self, ref: str) -> AsyncIterator[bytes]:
        entry = self._core.get(ref)
        outlet = Outlet()

        def copy(root: Path) -> None:
            with _told(ref, "/"):
                pack_root(root, outlet.write)
                outlet.end()

        work = self._spawn(
            self._access.run(ref, copy, stop=outlet.stop, mounted=False, verb="export"), f"export of {ref}"
        )
        self._core.happened(entry, "export")
        return Pieces(outlet, work)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Kept by the one who waits for it, and ended with the engine."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._work.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        if not task.cancelled():
            task.exception()  # told to the client by whoever waits; one that left needs no word

    async def close(self) -> None:
        """End what is under way: no thread of it outlives the engine."""
        tasks = tuple(self._work)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _settle(future: asyncio.Future[PathStat], value: PathStat) -> None:
    if not future.done():
        future.set_result(value)


def _folder(root: Path, path: str) -> str:
    """The folder to unpack into, without links. Raises InvalidArgument, PermissionDenied, OSError."""
    fd = open_in_root(root, absolute(path), os.O_PATH)
    try:
        where = inside(root, fd)
        if not Path(f"/proc/self/fd/{fd}").is_dir():
            raise InvalidArgument("extraction point is not a directory")
        if os.fstatvfs(fd).f_flag & os.ST_RDONLY:
            top = os.open(root, os.O_PATH)
            try:
                own = _mount_id(fd) == _mount_id(top)
            finally:
                os.close(top)
            what = "container rootfs" if own else "mounted volume"
            raise PermissionDenied(f"{what} is marked read-only")
        return where
    finally:
        os.close(fd)


def _mount_id(fd: int) -> str:
    """proc_pid_fdinfo(5)."""
    found = re.search(r"^mnt_id:\s*(\d+)", Path(f"/proc/self/fdinfo/{fd}").read_text(), re.MULTILINE)
    return found[1] if found else ""


@contextmanager
def _told(ref: str, path: str) -> Iterator[None]:
    """What the kernel refuses, in the words that clients know."""
    try:
        yield
    except FileNotFoundError:
        raise NotFound(f"Could not find the file {path} in container {ref}") from None
    except OSError as error:
        text = (error.strerror or str(error)).lower()
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Unavailable(f"cannot copy to container {ref} - {text}", hint="make room") from error
        if error.errno == errno.EROFS:
            raise PermissionDenied(f"cannot copy to {path} in container {ref} - {text}") from error
        if error.errno in _USERS_FAULT:
            raise InvalidArgument(f"cannot copy {path} in container {ref} - {text}") from error
        raise RuntimeFailed(f"cannot copy {path} in container {ref} - {text}") from error
