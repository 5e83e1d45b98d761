"""The `runtime` contract for any OCI command line, method by method."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal as signals
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from moby_components.common import cgroups, users
from moby_components.common.monitor import AttachStreams, Task, TaskDir, scan
from moby_components.common.ociruntime import creation, execution
from moby_components.common.ociruntime.base import ID, OciBase, groups_of_task, more_of, paths_of
from moby_components.common.ociruntime.clearing import end, erase
from moby_components.common.ociruntime.cli import Cli
from moby_components.common.ociruntime.inits import find_init
from moby_components.common.ocispec import Placement, build, build_process, build_resources
from moby_py.errors import AlreadyExists, Conflict, InvalidArgument, NotFound, RuntimeFailed
from moby_py.model import (
    ContainerIO,
    ContainerSpec,
    ExitStatus,
    ProcessSpec,
    Resources,
    RootFS,
    Sandbox,
    Stats,
    Streams,
    TaskState,
)

_SANDBOX_GRACE = 1.0
"""Seconds that an exec in a sandbox gets between SIGTERM and SIGKILL."""


class OciRuntime(OciBase):
    """One implementation for all: a runtime component derives from it and declares (see `OciBase`)."""

    rootfs_form = "path"

    # Life and death

    async def create(
        self, spec: ContainerSpec, rootfs: RootFS, sandbox: Sandbox, io: ContainerIO
    ) -> TaskState:
        where = self._dir(spec.id)
        if not rootfs.path:
            raise InvalidArgument(f"runtime {self.context.id!r} needs a mounted root filesystem")
        who = users.resolve(Path(rootfs.path), spec.process.user, spec.process.groups)
        init = find_init() if spec.init else None
        place = Placement(cgroup_parent=self._parent, init=init, warn=self._warn)
        config = self.adapt(build(spec, Path(rootfs.path), sandbox, who, self.host, place))
        more = self.arguments(sandbox)
        try:
            where.make()
        except FileExistsError as error:
            raise AlreadyExists(
                f"container {spec.id} exists already in runtime {self.context.id!r}"
            ) from error
        self._making.add(spec.id)
        try:
            await creation.create(
                where,
                config,
                io,
                program=self._binary("conmon"),
                cli=self.cli,
                more=more,
                hierarchies=self.host.cgroups,
            )
        except BaseException:
            await asyncio.shield(self._undo(where, config, more))
            raise
        finally:
            self._making.discard(spec.id)
        task = self._task(spec.id)
        if spec.process.console_size:
            task.resize(*spec.process.console_size)  # not every runtime reads consoleSize
        return self._state(task)

    async def start(self, container_id: str) -> TaskState:
        task = self._task(container_id)
        marker = task.dir.path / "started"
        if marker.exists():
            raise Conflict(f"container {container_id} is started already")
        if task.exit() is not None:
            raise Conflict(f"container {container_id} has ended before its start")
        await self._command(task, "start", container_id)
        marker.touch(mode=0o600)
        return self._state(task)

    async def state(self, container_id: str) -> TaskState:
        return self._state(self._task(container_id))

    async def wait(self, container_id: str, exec_id: str | None = None) -> ExitStatus:
        if exec_id is None:
            task = self._task(container_id)
            return self._judged(task, await task.wait())
        known = self._exits.get(container_id, exec_id)
        if known is not None:
            return known
        task = self._exec(container_id, exec_id)
        status = await task.wait()
        # What is left of an exec is its exit status: a health check's must not pile up on disk.
        self._exits.keep(container_id, exec_id, status)
        if self._execs.pop((container_id, exec_id), None) is not None:
            await task.close()
            task.dir.discard()
        return status

    async def kill(self, container_id: str, signal: int, *, everyone: bool = False) -> None:
        task = self._task(container_id)
        if task.exit() is not None:
            raise Conflict(f"container {container_id} is not running")
        if self.sandboxed:
            if signal == signals.SIGKILL and self._status(task) == "paused":
                await self.resume(container_id)  # a paused sandbox takes no signal
            everybody = ["--all"] if everyone else []
            try:
                await self._command(task, "kill", *everybody, container_id, str(int(signal)))
            except RuntimeFailed as error:
                # A sandbox that is just ending says so in many words: its end decides.
                if "not running" in error.message or await _ends(task):
                    raise Conflict(f"container {container_id} is not running") from error
                raise
            return
        alive = bool(task.process and task.process.kill(signal))
        if everyone:
            for pid in self._pids(task):
                if not task.process or pid != task.process.pid:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal)
        if not alive:
            raise Conflict(f"container {container_id} is not running")
        if signal == signals.SIGKILL and cgroups.frozen(groups_of_task(task)):
            # v1 keeps the frozen dead frozen; and a container that dies is no longer paused.
            cgroups.thaw(groups_of_task(task))

    async def delete(self, container_id: str) -> None:
        where = self._dir(container_id)
        if not where.path.exists() and not self.cli.knows(container_id):
            return
        task = self._tasks.get(container_id) or Task.adopt(where)
        groups = groups_of_task(task) if task else self.host.cgroups.at(f"{self._parent}/{container_id}")
        await end(where, groups)
        execs = [task for key, task in self._execs.items() if key[0] == container_id]
        for ended in (*execs, task):
            if ended is not None:
                await ended.wait()  # whoever waits for it learns its status before the file is gone
        await erase(where, self.cli, groups, more_of(task) if task else ())
        self._tasks.pop(container_id, None)
        self._execs = {key: task for key, task in self._execs.items() if key[0] != container_id}
        self._exits.forget(container_id)

    async def _undo(self, where: TaskDir, config: dict[str, Any], more: Sequence[str]) -> None:
        """After a failed create."""
        groups = paths_of(creation.groups_of(config, self.host.cgroups))
        await end(where, groups)
        await erase(where, self.cli, groups, more)

    async def recover(self) -> Sequence[TaskState]:
        found = []
        for where, whole in scan(self.run_dir):
            if where.name in self._making:
                continue
            if whole is None:
                await self.delete(where.name)
                continue
            task = self._tasks.setdefault(where.name, whole)
            await self._learn_start(task)
            found.append(self._state(task))
        for container_id in self.cli.known() - {state.id for state in found} - self._making:
            with contextlib.suppress(FileExistsError):
                (self.run_dir / container_id).mkdir(mode=0o700)  # only the program remembers it
            await self.delete(container_id)
        return found

    async def _learn_start(self, task: Task) -> None:
        """The daemon may have been killed between a start and its marker: ask the program."""
        marker = task.dir.path / "started"
        if task.exit() is None and not marker.exists():
            with contextlib.suppress(NotFound):
                told = await self.cli.state(task.dir.name, task.dir.path / "runtime.log", more_of(task))
                if told.get("status") in ("running", "paused"):
                    marker.touch(mode=0o600)

    # Streams and further processes

    async def attach(self, container_id: str, exec_id: str | None = None) -> Streams:
        task = self._task(container_id) if exec_id is None else self._exec(container_id, exec_id)
        return await task.attach()

    async def exec(
        self, container_id: str, exec_id: str, process: ProcessSpec, io: ContainerIO, *, attach: bool
    ) -> Streams | None:
        task = self._task(container_id)
        if not ID.fullmatch(exec_id):
            raise InvalidArgument(f"invalid exec id {exec_id!r}")
        if self._status(task) != "running":
            raise Conflict(f"container {container_id} is not running")
        who = users.resolve(Path(task.record["rootfs"]), process.user, process.groups)
        document = self.adapt({"process": build_process(process, who, self.host, self._warn)})["process"]
        streams: AttachStreams | None = await execution.execute(
            task.dir.exec(exec_id),
            document,
            io,
            program=self._binary("conmon"),
            cli=Cli(self.exec_program(tty=process.tty), self.cli.root, self.cli.extra),
            more=more_of(task),
            attach=attach,
        )
        if process.console_size:
            self._exec(container_id, exec_id).resize(*process.console_size)
        return streams

    async def exec_pid(self, container_id: str, exec_id: str) -> int:
        if self._exits.get(container_id, exec_id) is not None:
            return 0
        # Of a sandbox's exec this is the program that waits for it, not the process itself.
        return 0 if self.sandboxed else self._exec(container_id, exec_id).pid

    async def exec_kill(self, container_id: str, exec_id: str, signal: int) -> None:
        if self._exits.get(container_id, exec_id) is not None:
            return
        task = self._exec(container_id, exec_id)
        if self.sandboxed and signal == signals.SIGKILL and task.exit() is None:
            # The program in front of the sandbox passes on what it can catch.
            task.kill_session(signals.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SANDBOX_GRACE):
                    await task.wait()
        task.kill_session(signal)

    async def resize(self, container_id: str, height: int, width: int, exec_id: str | None = None) -> None:
        task = self._task(container_id) if exec_id is None else self._exec(container_id, exec_id)
        task.resize(height, width)

    async def reopen_log(self, container_id: str) -> None:
        self._task(container_id).reopen_log()

    # Processes and limits

    async def processes(self, container_id: str) -> Sequence[int]:
        return self._pids(self._task(container_id))

    async def pause(self, container_id: str) -> None:
        task = self._task(container_id)
        if self._status(task) != "running":
            raise Conflict(f"container {container_id} is not running")
        await self._command(task, "pause", container_id)
        (task.dir.path / "paused").touch(mode=0o600)

    async def resume(self, container_id: str) -> None:
        task = self._task(container_id)
        if self._status(task) != "paused":
            raise Conflict(f"container {container_id} is not paused")
        await self._command(task, "resume", container_id)
        (task.dir.path / "paused").unlink(missing_ok=True)

    async def update(self, container_id: str, resources: Resources) -> None:
        if "update" not in self.features:
            raise self._lacks("update")
        task = self._task(container_id)
        if task.exit() is not None:
            raise Conflict(f"container {container_id} is not running")
        limits = build_resources(resources, self.host, self._warn)
        if limits:
            file = task.dir.path / "resources.json"
            file.unlink(missing_ok=True)
            creation.write_private(file, limits)
            await self._command(task, "update", "--resources", str(file), container_id)

    async def out_of_memory(self, container_id: str) -> bool:
        return await cgroups.out_of_memory(groups_of_task(self._task(container_id)))

    async def stats(self, container_id: str) -> Stats:
        task = self._task(container_id)
        if "stats" not in self.features or not groups_of_task(task):
            raise self._lacks("stats")
        return cgroups.read_stats(groups_of_task(task))


async def _ends(task: Task, patience: float = 2.0) -> bool:
    """Whether the container's end is seen within so many seconds."""
    try:
        await asyncio.wait_for(task.wait(), patience)
    except TimeoutError:
        return False
    return True
