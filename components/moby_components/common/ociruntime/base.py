"""What stands behind the contract's methods: the declared differences, the host, who is who."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import signal as signals
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from moby_components.common import cgroups
from moby_components.common.monitor import Task, TaskDir
from moby_components.common.monitor.exits import ExecExits
from moby_components.common.ociruntime.cli import Cli
from moby_components.common.ocispec import HostFacts
from moby_components.common.processes import run
from moby_py.component import Context
from moby_py.errors import InvalidArgument, NotFound, Unavailable
from moby_py.kinds import Runtime
from moby_py.model import ExitStatus, RuntimeInfo, Sandbox, Status, TaskState
from moby_py.needs import Binary

CONMON = Binary("conmon", package="conmon", min_version="2.1")
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_VERSION = re.compile(r"(?:version\s+|^)v?([0-9][\w.+:~-]*)")


class OciBase(Runtime):
    """A runtime of the OCI command-line interface (create, start, kill, delete, exec, ...).

    `binary` is the program's name among the declared needs. `sandboxed`: its processes are not the
    host's (a kernel of its own), so that signals and lists go through the program.
    """

    binary: ClassVar[str] = ""
    sandboxed: ClassVar[bool] = False

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.run_dir = context.dirs.run
        self._tasks: dict[str, Task] = {}
        self._execs: dict[tuple[str, str], Task] = {}
        self._exits = ExecExits()
        self._making: set[str] = set()
        self._told: set[str] = set()
        self._host: HostFacts | None = None
        self._info: RuntimeInfo | None = None

    # What subclasses declare

    def arguments(self, sandbox: Sandbox) -> tuple[str, ...]:
        """Global arguments of the program for one container, kept with it."""
        return ()

    def global_arguments(self) -> tuple[str, ...]:
        """Global arguments for every command."""
        return ()

    def adapt(self, config: dict[str, Any]) -> dict[str, Any]:
        """The last change to config.json, where the program cannot do what the field can."""
        return config

    def exec_program(self, *, tty: bool) -> Path:
        """The program that conmon calls for an exec, where that is not `program` itself."""
        return self.program

    # Of the host

    @property
    def program(self) -> Path:
        return self._binary(self.binary)

    @property
    def host(self) -> HostFacts:
        if self._host is None:
            self._host = HostFacts.detect(rootless=self.context.platform.rootless)
        return self._host

    @property
    def cli(self) -> Cli:
        return Cli(self.program, self.run_dir / ".root", self.global_arguments())

    def _binary(self, name: str) -> Path:
        try:
            return self.context.binaries[name]
        except KeyError as error:
            raise Unavailable(f"runtime {self.context.id!r} cannot run - {name} was not found") from error

    def _warn(self, text: str) -> None:
        if text not in self._told:  # each once: it is about the host, not about the container
            self._told.add(text)
            self.log.warning("runtime %s: %s", self.context.id, text)

    async def open(self) -> None:
        (self.run_dir / ".root").mkdir(mode=0o700, exist_ok=True)

    async def close(self) -> None:
        for task in (*self._tasks.values(), *self._execs.values()):
            await task.close()
        self._tasks.clear()
        self._execs.clear()
        self._drop_parent()

    async def fingerprint(self) -> RuntimeInfo:
        if self._info is None:
            finished = await run([str(self.program), "--version"], timeout=10)
            if finished.code != 0:
                raise Unavailable(f"runtime {self.context.id!r} cannot run - {finished.words or 'it failed'}")
            self._binary("conmon")
            found = _VERSION.search(finished.out.decode(errors="replace"))
            features = self.features
            if not self.host.controllers:
                features -= {"cgroups", "stats", "update"}
            if not self.host.controllers & {"freezer"} and not self.sandboxed:
                features -= {"pause"}
            if not self.host.seccomp:
                features -= {"seccomp"}
            self._info = RuntimeInfo(
                name=self.name, version=found[1] if found else "", path=str(self.program), features=features
            )
        return self._info

    # Who is who, and how they are

    @property
    def _parent(self) -> str:
        return f"/moby-py/{self.context.platform.name}"

    def _dir(self, container_id: str) -> TaskDir:
        if not ID.fullmatch(container_id):
            raise InvalidArgument(f"invalid container id {container_id!r}")
        return TaskDir(self.run_dir / container_id, container_id)

    def _task(self, container_id: str) -> Task:
        task = self._tasks.get(container_id)
        if task is None:
            task = None if container_id in self._making else Task.adopt(self._dir(container_id))
            if task is None:
                raise NotFound(f"no such container {container_id} in runtime {self.context.id!r}")
            self._tasks[container_id] = task
        return task

    def _exec(self, container_id: str, exec_id: str) -> Task:
        container = self._task(container_id)
        key = (container_id, exec_id)
        task = self._execs.get(key)
        if task is None:
            task = Task.adopt(container.dir.exec(exec_id)) if ID.fullmatch(exec_id) else None
            if task is None:
                raise NotFound(f"no such exec {exec_id} in container {container_id}")
            self._execs[key] = task
        return task

    async def _command(self, task: Task, what: str, *args: str) -> None:
        log, more = task.dir.path / "runtime.log", more_of(task)
        await self.cli.command(log, what, *args, more=more, through=self.through(what, more))

    def through(self, what: str, more: Sequence[str]) -> Sequence[str]:
        """Words before the program's for one of its commands; `more` are the container's arguments."""
        return ()

    def _state(self, task: Task) -> TaskState:
        status = task.exit()
        if status is not None:
            return TaskState(id=task.dir.name, status="stopped", exit=self._judged(task, status))
        return TaskState(id=task.dir.name, status=self._status(task), pid=task.pid)

    def _status(self, task: Task) -> Status:
        if task.exit() is not None:
            return "stopped"
        if not (task.dir.path / "started").exists():
            return "created"
        groups = groups_of_task(task)
        asleep = (task.dir.path / "paused").exists() if self.sandboxed else cgroups.frozen(groups)
        return "paused" if asleep else "running"

    def _judged(self, task: Task, status: ExitStatus) -> ExitStatus:
        """conmon may end before it has read the event of an oom kill: ask the cgroup as well."""
        if (
            not status.oom_killed
            and status.code == 128 + signals.SIGKILL
            and cgroups.oom_kills(groups_of_task(task))
        ):
            task.dir.oom.touch(mode=0o600)
        if not status.oom_killed and task.dir.oom.exists():
            return dataclasses.replace(status, oom_killed=True)
        return status

    def _pids(self, task: Task) -> list[int]:
        first = [task.pid] if task.pid else []
        if not first or self.sandboxed:
            return first
        pids = cgroups.processes(groups_of_task(task)) or _same_namespace(task)
        return list(dict.fromkeys([*first, *pids]))

    def _drop_parent(self) -> None:
        """Remove the platform's own cgroups when no container is left in them."""
        for where in dict.fromkeys(self.host.cgroups.at(self._parent).values()):
            for folder in (where, where.parent):
                with contextlib.suppress(OSError):
                    folder.rmdir()


def more_of(task: Task) -> Sequence[str]:
    return tuple(task.record.get("arguments", ()))


def groups_of_task(task: Task) -> dict[str, Path]:
    return paths_of(task.record.get("cgroups", {}))


def paths_of(groups: Mapping[str, str]) -> dict[str, Path]:
    return {name: Path(path) for name, path in groups.items()}


def _same_namespace(task: Task) -> list[int]:
    """Without a cgroup of its own: who shares the first process's own pid namespace."""
    if not task.process or not task.record.get("own_pids"):
        return []
    found = []
    with contextlib.suppress(OSError):
        mine = Path(f"/proc/{task.process.pid}/ns/pid").readlink()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if (entry / "ns/pid").readlink() == mine:
                        found.append(int(entry.name))
    return sorted(found)
