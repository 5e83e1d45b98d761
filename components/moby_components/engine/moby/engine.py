"""class Moby: the contract's methods, each handed to the part that does it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from moby_components.engine.moby.words.archives import ArchiveWords
from moby_components.engine.moby.words.networks import NetworkWords
from moby_components.engine.moby.words.volumes import VolumeWords
from moby_py.component import Context, Service
from moby_py.errors import InvalidArgument, Unavailable
from moby_py.kinds import Engine, Network
from moby_py.model import (
    AttachOptions,
    Change,
    Container,
    Created,
    Event,
    ExecInstance,
    ImageRecord,
    LogLine,
    LogOptions,
    ProcessTable,
    ProgressSink,
    RegistryAuth,
    RemovedImage,
    Stats,
    Streams,
)

if TYPE_CHECKING:
    from moby_components.common.dns import Resolver
    from moby_components.engine.moby.core import Core

_many = list
"""The built-in, which the contract's method `list` hides in the class body."""


class Moby(ArchiveWords, NetworkWords, VolumeWords, Engine):
    """Docker's containers on any runtime, store and network."""

    name: ClassVar[str] = "moby"
    summary: ClassVar[str] = "Docker's containers: life cycle, execs, logs, events, restarts, volumes"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._core_if_open: Core | None = None
        self._resolver: Resolver | None = None

    async def open(self) -> None:
        if self._core_if_open is not None:
            return
        from moby_components.engine.moby import parts

        self._parts = parts
        core = parts.Core(self.context, self._names())
        try:
            self._volumes = parts.Volumes(core)
            self._rotator = parts.Rotator(core.spawn)
            self._images = parts.Images(core)
            self._execs = parts.Execs(core)
            self._looking = parts.Looking(core)
            self._archives = parts.Archives(core, self._volumes)
            self._creator = parts.Creator(core, self._images, self._volumes)
            releaser = parts.Releaser(core, self._volumes, self._rotator)
            health = parts.Health(core, self._execs)
            watcher = parts.Watcher(core, releaser, self._rotator, health, parts.Shipping(core))
            starter = parts.Starter(core, self._volumes, releaser, watcher)
            self._stopper = parts.Stopper(core, starter, health)
            self._remover = parts.Remover(core, self._volumes, releaser, self._stopper, watcher)
            await self._volumes.recover()
            self._core_if_open = core
            await core.networks.open()
            await parts.Recovery(core, releaser, watcher, self._stopper, self._remover).run()
        except BaseException:
            self._core_if_open = core
            await self.close()
            raise

    def services(self) -> Sequence[Service]:
        resolver = self._names()
        return (resolver.service(),) if resolver is not None else ()

    def _names(self) -> Resolver | None:
        """The resolver, where a network component of the platform needs one."""
        networks = self.context.wiring.all(Network).values()
        if self._resolver is None and any(n.drivers and not n.own_names for n in networks):
            from moby_components.common.dns import Resolver

            self._resolver = Resolver(self.context.dirs.run, self.log)
        return self._resolver

    async def close(self) -> None:
        core, self._core_if_open = self._core_if_open, None
        if core is not None:
            await self._archives.close()
            await core.close()
            self._rotator.close()
        if self._resolver is not None:
            await self._resolver.close()

    async def shutdown(self) -> None:
        await self._stopper.shutdown()

    # -- life cycle ------------------------------------------------------------------------------

    async def create(self, body: Mapping[str, Any], *, name: str = "", platform: str = "") -> Created:
        return await self._creator.create(body, name, platform)

    async def start(self, ref: str) -> None:
        await self._stopper.start(ref)

    async def stop(self, ref: str, *, timeout: int | None = None, signal: str = "") -> None:
        await self._stopper.stop(ref, timeout=timeout, signal=signal)

    async def restart(self, ref: str, *, timeout: int | None = None, signal: str = "") -> None:
        await self._stopper.restart(ref, timeout=timeout, signal=signal)

    async def kill(self, ref: str, signal: str = "SIGKILL") -> None:
        await self._stopper.kill(ref, signal)

    async def pause(self, ref: str) -> None:
        await self._stopper.pause(ref)

    async def unpause(self, ref: str) -> None:
        await self._stopper.unpause(ref)

    async def remove(self, ref: str, *, force: bool = False, volumes: bool = False) -> None:
        await self._remover.remove(ref, force=force, volumes=volumes)

    async def rename(self, ref: str, name: str) -> None:
        await self._remover.rename(ref, name)

    async def update(self, ref: str, body: Mapping[str, Any]) -> Sequence[str]:
        return await self._looking.update(ref, body)

    async def wait(self, ref: str, condition: str = "not-running") -> tuple[int, str]:
        self._parts.check_condition(condition or "not-running")
        return await self._core.get(ref).waiter(condition or "not-running")  # type: ignore[arg-type]

    # -- looking ---------------------------------------------------------------------------------

    async def inspect(self, ref: str) -> Container:
        return self._looking.shown(self._core.get(ref))

    async def list(
        self,
        *,
        all: bool = False,
        limit: int = 0,
        filters: Mapping[str, Sequence[str]] | None = None,
    ) -> Sequence[Container]:
        found = await self._parts.select(self._core, self._images, all=all, limit=limit, filters=filters)
        return [self._looking.shown(entry) for entry in found]

    async def top(self, ref: str, ps_args: str = "-ef") -> ProcessTable:
        return await self._looking.top(ref, ps_args)

    async def stats(self, ref: str) -> Stats:
        return await self._looking.stats(ref)

    async def changes(self, ref: str) -> Sequence[Change]:
        return await self._looking.changes(ref)

    async def logs(self, ref: str, options: LogOptions) -> AsyncIterator[LogLine]:
        entry = self._core.get(ref)
        if not self._core.log_plan(entry.record).keep:
            raise Unavailable("configured logging driver does not support reading")
        if not options.stdout and not options.stderr:
            raise InvalidArgument("Bad parameters: you must choose at least one stream")
        on_end = entry.ended.append if entry.record.live else None
        lines = self._parts.read_log(self._core.layout.log(entry.id), options, on_end=on_end)
        async with contextlib.aclosing(lines):  # type: ignore[type-var]
            async for line in lines:
                yield line

    async def events(
        self,
        *,
        since: float = 0.0,
        until: float = 0.0,
        filters: Mapping[str, Sequence[str]] | None = None,
    ) -> AsyncIterator[Event]:
        found = self._core.events.listen(since, until, filters or {})
        async with contextlib.aclosing(found):  # type: ignore[type-var]
            async for event in found:
                yield event

    # -- streams and execs -----------------------------------------------------------------------

    async def attach(self, ref: str, options: AttachOptions) -> Streams:
        return await self._parts.attach(self._core, ref, options)

    async def resize(self, ref: str, height: int, width: int) -> None:
        await self._looking.resize(ref, height, width)

    async def exec_create(self, ref: str, body: Mapping[str, Any]) -> str:
        return await self._execs.create(ref, body)

    async def exec_start(self, exec_id: str, *, detach: bool, tty: bool = False) -> Streams | None:
        return await self._execs.start(exec_id, detach=detach, tty=tty)

    async def exec_inspect(self, exec_id: str) -> ExecInstance:
        return self._execs.inspect(exec_id)

    async def exec_resize(self, exec_id: str, height: int, width: int) -> None:
        await self._execs.resize(exec_id, height, width)

    # -- images ----------------------------------------------------------------------------------

    async def pull(
        self,
        reference: str,
        *,
        platform: str = "",
        auth: RegistryAuth | None = None,
        progress: ProgressSink | None = None,
    ) -> ImageRecord:
        return await self._images.pull(reference, platform=platform, auth=auth, progress=progress)

    async def remove_image(self, ref: str, *, force: bool = False) -> RemovedImage:
        return await self._images.remove(ref, force=force)

    async def commit(
        self,
        ref: str,
        *,
        reference: str = "",
        author: str = "",
        message: str = "",
        config: Mapping[str, Any] | None = None,
        pause: bool = True,
    ) -> ImageRecord:
        return await self._images.commit(
            ref, reference=reference, author=author, message=message, config=config, pause=pause
        )

    async def collect(self) -> Mapping[str, int]:
        core = self._core
        stale = self._parts.release.leftovers(core) - set(core.entries)
        for id in stale:
            await asyncio.to_thread(self._parts.release.sweep, core, id)
        report = await core.store.collect(containers=self._parts.prepared(core))
        return {
            "blobs": report.blobs,
            "layers": report.layers,
            "bytes": report.bytes,
            "runtime_directories": len(stale),
        }

    # -- the platform ----------------------------------------------------------------------------

    async def info(self) -> Mapping[str, Any]:
        return await self._parts.info(self._core)

    def emit(self, type: str, action: str, actor: str, attributes: Mapping[str, str]) -> Event:
        return self._core.events.emit(type, action, actor, attributes)

    @property
    def _core(self) -> Core:
        if self._core_if_open is None:
            raise Unavailable("the engine is not open")
        return self._core_if_open
