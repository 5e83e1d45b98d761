"""Getting at a container's files whatever its state, without keeping it from changing that state.

A running container's root is mounted already and is bound once more; that of a stopped one is mounted
for the moment, by one at a time - a writable layer must not be mounted twice. A start and an end of
the run wait for copies under way (`Views.settle`), and cut short those that take too long.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from moby_components.common import mounts
from moby_components.engine.moby.archives.streams import Stopped
from moby_components.engine.moby.archives.view import Bind, Plan, in_view
from moby_components.engine.moby.core import Core
from moby_components.engine.moby.lifecycle import surroundings
from moby_components.engine.moby.names import new_id
from moby_py.errors import Conflict, NotFound, RuntimeFailed, Unsupported
from moby_py.model import FsMount

if TYPE_CHECKING:
    from moby_components.engine.moby.entry import Entry
    from moby_components.engine.moby.volumes import Volumes

T = TypeVar("T")
_ETC = ("resolv.conf", "hostname", "hosts")


class Access:
    def __init__(self, core: Core, volumes: Volumes) -> None:
        self._core = core
        self._volumes = volumes
        self._place = core.layout.run / "view"
        self._place.mkdir(mode=0o700, exist_ok=True)

    async def run(
        self,
        ref: str,
        work: Callable[[Path], T],
        *,
        stop: threading.Event | None = None,
        mounted: bool = True,
        verb: str = "copy",
    ) -> T:
        """The result of `work`, called in a thread with the root of the container. `mounted`: with its
        volumes and binds. `stop` is set when the container cannot wait any longer."""
        stop = stop or threading.Event()
        async with contextlib.AsyncExitStack() as stack:
            entry, root = await self._enter(ref, stop, stack, verb)
            binds = await self._binds(entry, stack) if mounted else []
            plan = Plan(
                root=root,
                binds=tuple(binds),
                readonly=bool(entry.record.host.get("ReadonlyRootfs")),
                place=self._place,
                shed=self._core.layout.run,
            )
            try:
                return await _in_thread(lambda: in_view(plan, work), stop)
            except OSError as error:
                raise RuntimeFailed(
                    f"cannot reach the files of container {entry.record.name} - "
                    f"{error.filename or ''}: {(error.strerror or str(error)).lower()}"
                ) from error
            except Stopped:
                raise Conflict(
                    f"container {entry.record.name} was started or has ended while its files were copied",
                    hint="copy them again",
                ) from None

    async def _enter(
        self, ref: str, stop: threading.Event, stack: contextlib.AsyncExitStack, verb: str
    ) -> tuple[Entry, tuple[FsMount, ...]]:
        """Count as a view of the container, in a moment when nothing changes its state."""
        core = self._core
        entry = core.get(ref)
        while True:
            async with core.locked(entry.id):
                if entry.record.status in ("dead", "removing"):
                    state = "dead" if entry.record.status == "dead" else "being removed"
                    raise Conflict(f"You cannot {verb} container {entry.id} which is {state}")
                live = entry.record.live
                if live or not entry.views.open:
                    stack.enter_context(entry.views.one(stop))
                    return entry, await (self._live_root(entry) if live else self._idle_root(entry))
            await entry.views.idle.wait()

    async def _live_root(self, entry: Entry) -> tuple[FsMount, ...]:
        path = self._core.layout.rootfs(entry.id)
        if not await asyncio.to_thread(mounts.is_mounted, path):
            raise Unsupported(
                f"cannot reach the files of running container {entry.record.name} - "
                f"runtime {entry.record.runtime} keeps its root file system to itself",
                hint="stop it first, or use: docker exec CONTAINER tar",
            )
        return (FsMount(type="bind", source=str(path), options=("bind",)),)

    async def _idle_root(self, entry: Entry) -> tuple[FsMount, ...]:
        found = await self._core.store.prepare(entry.record.image_id, entry.id)
        if not found.mounts:
            raise Unsupported(
                f"cannot reach the files of container {entry.record.name} - "
                f"image store {self._core.store.name} does not mount them on this host"
            )
        return found.mounts

    async def _binds(self, entry: Entry, stack: contextlib.AsyncExitStack) -> list[Bind]:
        """Volumes, binds and images as a start would have them, and the /etc files of a live container;
        tmpfs and secrets are the container's alone."""
        found = []
        for plan in surroundings.plans(entry):
            base = Bind(target=plan.target, part=plan.subpath, readonly=plan.readonly)
            if plan.type == "volume":
                folder = await stack.enter_async_context(self._volumes.use.borrowed(plan.source))
                found.append(replace(base, source=folder, recursive=True))
            elif plan.type == "bind":
                found.append(replace(base, source=Path(plan.source), recursive=plan.recursive))
            elif plan.type == "image" and not plan.subpath:
                found.append(replace(base, mounts=await self._image(plan.image_id, stack), readonly=True))
        if entry.record.live:
            taken = {bind.target for bind in found}
            folder = self._core.layout.files(self._owner(entry).id)
            found += [
                Bind(target=f"/etc/{name}", source=folder / name)
                for name in _ETC
                if f"/etc/{name}" not in taken and (folder / name).exists()
            ]
        return found

    async def _image(self, image: str, stack: contextlib.AsyncExitStack) -> tuple[FsMount, ...]:
        """An image's files for this once. What a kill leaves of it goes with the store's next collection."""
        id = f"{new_id()}.view"
        stack.push_async_callback(self._core.store.release, id)
        return (await self._core.store.prepare(image, id)).mounts

    def _owner(self, entry: Entry) -> Entry:
        """Who has the /etc files: the container whose network is shared, or itself."""
        mode = str(entry.record.host.get("NetworkMode") or "")
        if mode.startswith("container:"):
            with contextlib.suppress(NotFound):
                return self._core.get(mode.partition(":")[2])
        return entry


async def _in_thread(work: Callable[[], T], stop: threading.Event) -> T:
    """To its end even when the caller is cancelled: what it has mounted is counted until it is gone."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([task])
        raise
