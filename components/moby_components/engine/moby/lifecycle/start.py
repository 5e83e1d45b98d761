"""`start`: from the stored intent to a running process. Read `_run` first: it is the path of the data.

A start that fails anywhere leaves nothing: `Releaser.release` undoes whatever was done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from moby_components.common import mounts as mounting
from moby_components.common.rooted import make_dirs
from moby_components.common.users import resolve
from moby_components.engine.moby import secrets_mount
from moby_components.engine.moby.clock import now_ns, rfc3339
from moby_components.engine.moby.core import Core
from moby_components.engine.moby.entry import Entry
from moby_components.engine.moby.lifecycle import surroundings
from moby_components.engine.moby.lifecycle.release import Releaser
from moby_components.engine.moby.lifecycle.watch import Watcher
from moby_components.engine.moby.networking.endpoints import join
from moby_components.engine.moby.rendering.check import check_features
from moby_components.engine.moby.rendering.spec import Surroundings, render
from moby_components.engine.moby.volumes import Volumes, stage
from moby_components.engine.moby.volumes.sources import user_mounts
from moby_py.errors import InvalidArgument, MobyError, RuntimeFailed
from moby_py.kinds import Runtime
from moby_py.model import ContainerIO, ContainerSpec, Mount, RootFS, Sandbox

_NOT_FOUND = ("executable file not found", "no such file or directory")
_NOT_INVOKED = ("permission denied", "is a directory", "not a directory", "exec format error")


class Starter:
    def __init__(self, core: Core, volumes: Volumes, releaser: Releaser, watcher: Watcher) -> None:
        self._core = core
        self._volumes = volumes
        self._releaser = releaser
        self._watcher = watcher
        watcher.again = self.start

    async def start(self, entry: Entry) -> None:
        """Start a container whose lock is held. Its status is the caller's check."""
        core, record = self._core, entry.record
        runtime_id, runtime = core.runtime_wanted(record)
        check_features(record.intent, runtime_id, runtime.features)
        record.runtime = runtime_id
        record.starting = True
        record.error = ""
        try:
            core.save_surely(entry)
        except MobyError:
            record.starting = False
            raise
        try:
            self._watcher.check(entry)
            pid = await self._run(entry, runtime)
        except BaseException as error:
            await self._releaser.release(entry)
            self._failed(entry, error)
            if isinstance(error, OSError):
                raise RuntimeFailed(f"cannot start container {record.name} - {error}") from error
            raise
        entry.move("started")
        record.starting = False
        record.started_before = True
        record.pid = pid
        record.exit_code = 0
        record.oom_killed = False
        record.started_at = rfc3339(now_ns())
        record.resume = False
        core.save(entry)
        core.happened(entry, "start")
        self._watcher.watch(entry)

    async def _run(self, entry: Entry, runtime: Runtime) -> int:
        core, record = self._core, entry.record
        values = await secrets_mount.reveal(core.secrets, surroundings.secret_names(entry))
        rootfs, root = await self._mount_root(entry, runtime)
        mounts = await user_mounts(core, self._volumes, entry, root)
        joined = await join(core, entry)
        spec = render(
            record,
            Surroundings(
                mounts=(
                    *surroundings.shm_mount(core, entry),
                    *surroundings.etc_mounts(core, entry, joined),
                    *mounts,
                ),
                joined=surroundings.joined_namespaces(core, entry),
                host_network=joined.sandbox.mode == "host",
                joined_hostname=joined.donor.record.intent.get("Hostname") or "" if joined.donor else "",
            ),
        )
        spec = await core.context.hooks.container_spec(spec)
        if root is not None:
            await self._make_workdir(spec, root)
        if values:
            spec = replace(spec, mounts=(*spec.mounts, *await self._deliver(spec, root, values)))
            values.clear()
        await self._create(entry, runtime, spec, rootfs, joined.sandbox)
        if surroundings.secret_names(entry):
            await asyncio.to_thread(secrets_mount.withdraw, core.layout.secrets(record.id))
        await asyncio.to_thread(stage.withdraw, core.layout.stage(record.id))
        state = await runtime.start(record.id)
        return state.pid

    async def _mount_root(self, entry: Entry, runtime: Runtime) -> tuple[RootFS, Path | None]:
        """The root as this runtime takes it; its path where the engine can look into it."""
        await entry.views.settle()  # a copy has it mounted: twice at once must not be
        rootfs = await self._core.store.prepare(entry.record.image_id, entry.id)
        if runtime.rootfs_form != "path":
            return rootfs, None
        path = self._core.layout.rootfs(entry.id)
        path.mkdir(mode=0o700, exist_ok=True)
        for part in rootfs.mounts:
            await asyncio.to_thread(mounting.mount, part.type, part.source, path, part.options)
        return replace(rootfs, path=str(path)), path

    async def _make_workdir(self, spec: ContainerSpec, root: Path) -> None:
        """Docker's rule: a missing working directory is made, by and for root."""
        if spec.process.cwd == "/":
            return
        try:
            import os

            os.close(make_dirs(root, spec.process.cwd))
        except NotADirectoryError as error:
            raise InvalidArgument(
                f"cannot mkdir: {spec.process.cwd} is not a directory", hint="give another working directory"
            ) from error

    async def _deliver(
        self, spec: ContainerSpec, root: Path | None, values: dict[str, bytes]
    ) -> Sequence[Mount]:
        """The secrets as read-only binds, owned by the user that the process will be."""
        uid = gid = 0
        if root is not None:
            user = resolve(root, spec.process.user)
            uid, gid = user.uid, user.gid
        files = await asyncio.to_thread(
            secrets_mount.deliver, self._core.layout.secrets(spec.id), values, uid=uid, gid=gid
        )
        return surroundings.secret_mounts(files)

    async def _create(
        self, entry: Entry, runtime: Runtime, spec: ContainerSpec, rootfs: RootFS, sandbox: Sandbox
    ) -> None:
        """Create the task, and give those who attached before the start their streams."""
        intent = entry.record.intent
        keep = self._core.log_plan(entry.record).keep
        io = ContainerIO(
            log=str(self._core.layout.log(entry.id)) if keep else None,
            stdin=bool(intent.get("OpenStdin")),
            stdin_once=bool(intent.get("StdinOnce")),
            tty=entry.record.tty,
        )
        await runtime.create(spec, rootfs, sandbox, io)
        for pending in list(entry.pending):
            await pending.connect(await runtime.attach(entry.id))
        entry.pending.clear()

    def _failed(self, entry: Entry, error: BaseException) -> None:
        """Record why, and the exit code that Docker gives it."""
        record = entry.record
        record.starting = False
        record.pid = 0
        record.error = str(error)
        record.exit_code = exit_code_of(error)
        if record.status == "restarting":
            entry.move("ended")
        self._core.save(entry)
        for pending in list(entry.pending):
            pending.fail()
        entry.pending.clear()
        if record.status == "exited":
            entry.tell()
        if record.auto_remove and not self._core.closing:
            self._watcher.remove_later(entry)


def exit_code_of(error: BaseException) -> int:
    """127 not found, 126 not executable, 128 anything else: Docker's choice by the text."""
    text = str(error).lower()
    if isinstance(error, MobyError | OSError):
        if any(word in text for word in _NOT_FOUND):
            return 127
        if any(word in text for word in _NOT_INVOKED):
            return 126
    return 128
