"""Small honest collaborators for testing the engine's own logic: host processes instead of containers,
a folder instead of an image store. They keep their contracts' promises and isolate nothing."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from moby_components.engine.moby.clock import rfc3339
from moby_components.engine.moby.logs.cri import format_entry
from moby_py.errors import AlreadyExists, Conflict, NotFound, RuntimeFailed
from moby_py.kinds import ImageStore, Runtime
from moby_py.model import (
    Change,
    CollectReport,
    ContainerIO,
    ContainerSpec,
    ExitStatus,
    FsMount,
    ImageRecord,
    ProcessSpec,
    Resources,
    RootFS,
    RuntimeInfo,
    Sandbox,
    Stats,
    StoreUsage,
    Streams,
    TaskState,
)

ROOT = os.geteuid() == 0
# Waits for a byte on a descriptor, then becomes the process: create and start are two steps.
# With bash, since dash takes no descriptor above 9.
GATE = 'read -r go <&3 || exit 255; exec 3<&-; exec "$@"'


class Ends(Streams):
    """One attached client: a queue of pieces, and a way to the process's stdin."""

    def __init__(self, process: HostProcess) -> None:
        self.process = process
        self.queue: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue(64)
        self.closed = False

    async def read(self) -> tuple[int, bytes] | None:
        return await self.queue.get()

    async def write(self, data: bytes) -> None:
        stdin = self.process.process.stdin
        if stdin is not None:
            stdin.write(data)
            await stdin.drain()

    async def close_stdin(self) -> None:
        if self.process.process.stdin is not None:
            self.process.process.stdin.close()

    async def close(self) -> None:
        self.closed = True
        self.process.clients.discard(self)


@dataclass(eq=False)
class HostProcess:
    process: asyncio.subprocess.Process
    log: Path | None
    gate: int = -1
    status: str = "created"
    clients: set[Ends] = field(default_factory=set)
    exit: ExitStatus | None = None
    task: asyncio.Task[ExitStatus] | None = None
    reopened: int = 0

    def attach(self) -> Ends:
        client = Ends(self)
        self.clients.add(client)
        return client

    async def serve(self) -> ExitStatus:
        assert self.process.stdout and self.process.stderr
        await asyncio.gather(self._copy(1, self.process.stdout), self._copy(2, self.process.stderr))
        code = await self.process.wait()
        for client in list(self.clients):
            await client.queue.put(None)
        self.status = "stopped"
        self.exit = ExitStatus(code=code if code >= 0 else 128 - code, at=time.time())
        return self.exit

    async def _copy(self, stream: int, source: asyncio.StreamReader) -> None:
        while data := await source.read(8192):
            if self.log is not None:
                with self.log.open("ab") as log:
                    log.writelines(format_entry(rfc3339(time.time_ns()), stream, data))
            for client in list(self.clients):
                await client.queue.put((stream, data))


class HostRuntime(Runtime):
    """`fail` makes the next create fail with that text; `delay` slows it."""

    name: ClassVar[str] = "hostproc"
    rootfs_form = "path" if ROOT else "image"
    features: ClassVar[frozenset[str]] = frozenset({"exec", "tty", "pause", "update", "cgroups"})

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self.tasks: dict[str, HostProcess] = {}
        self.execs: dict[tuple[str, str], HostProcess] = {}
        self.specs: dict[str, ContainerSpec] = {}
        self.sandboxes: dict[str, Sandbox] = {}
        self.limits: dict[str, Resources] = {}
        self.seen: dict[str, dict[str, bytes]] = {}
        self.fail = ""
        self.fail_start = ""

    async def fingerprint(self) -> RuntimeInfo:
        return RuntimeInfo(name="hostproc", version="0")

    async def create(
        self, spec: ContainerSpec, rootfs: RootFS, sandbox: Sandbox, io: ContainerIO
    ) -> TaskState:
        if spec.id in self.tasks:
            raise AlreadyExists(spec.id)
        if self.fail:
            text, self.fail = self.fail, ""
            raise RuntimeFailed(text)
        self.specs[spec.id], self.sandboxes[spec.id] = spec, sandbox
        self.seen[spec.id] = {
            m.target: Path(m.source).read_bytes() for m in spec.mounts if Path(m.source).is_file()
        }
        self.tasks[spec.id] = await self._spawn(spec.process, io, gated=True)
        return await self.state(spec.id)

    async def _spawn(self, spec: ProcessSpec, io: ContainerIO, *, gated: bool) -> HostProcess:
        reading, writing = os.pipe()
        argv = ["bash", "-c", GATE.replace("<&3", f"<&{reading}").replace("3<&-", f"{reading}<&-"), "sh"]
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                *spec.args,
                stdin=asyncio.subprocess.PIPE if io.stdin else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=(reading,),
                env=dict(e.split("=", 1) for e in spec.env),
                start_new_session=True,
            )
        finally:
            os.close(reading)
        made = HostProcess(process, Path(io.log) if io.log else None, writing)
        made.task = asyncio.create_task(made.serve())
        if not gated:
            self._go(made)
        return made

    def _go(self, task: HostProcess) -> None:
        os.write(task.gate, b"\n")
        os.close(task.gate)
        task.gate = -1
        task.status = "running"

    async def start(self, container_id: str) -> TaskState:
        if self.fail_start:
            text, self.fail_start = self.fail_start, ""
            raise RuntimeFailed(text)
        if self._task(container_id).status != "created":
            raise Conflict("started before")
        self._go(self._task(container_id))
        return await self.state(container_id)

    async def state(self, container_id: str) -> TaskState:
        task = self._task(container_id)
        return TaskState(id=container_id, status=task.status, pid=task.process.pid, exit=task.exit)  # type: ignore[arg-type]

    async def wait(self, container_id: str, exec_id: str | None = None) -> ExitStatus:
        task = self._task(container_id, exec_id).task
        assert task is not None
        return await asyncio.shield(task)

    async def kill(self, container_id: str, signal: int, *, everyone: bool = False) -> None:
        task = self._task(container_id)
        if task.status == "stopped":
            raise Conflict("stopped")
        try:
            os.killpg(task.process.pid, signal)
        except ProcessLookupError:
            raise Conflict("stopped") from None
        if signal == 9 and task.status == "paused":
            task.status = "running"

    async def delete(self, container_id: str) -> None:
        task = self.tasks.pop(container_id, None)
        for key in [key for key in self.execs if key[0] == container_id]:
            await self._finish(self.execs.pop(key))
        if task is not None:
            await self._finish(task)

    async def _finish(self, task: HostProcess) -> None:
        if task.gate >= 0:
            os.close(task.gate)
            task.gate = -1
        if task.exit is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(task.process.pid, signal.SIGKILL)
        assert task.task is not None
        await task.task

    async def exec(
        self, container_id: str, exec_id: str, process: ProcessSpec, io: ContainerIO, *, attach: bool
    ) -> Streams | None:
        if shutil.which(process.args[0], path="/bin:/usr/bin") is None:
            raise RuntimeFailed(f'exec failed: exec: "{process.args[0]}": executable file not found in $PATH')
        made = await self._spawn(process, io, gated=True)
        streams = made.attach() if attach else None
        self.execs[container_id, exec_id] = made
        self._go(made)
        return streams

    async def exec_pid(self, container_id: str, exec_id: str) -> int:
        task = self._task(container_id, exec_id)
        return task.process.pid if task.exit is None else 0

    async def exec_kill(self, container_id: str, exec_id: str, signal: int) -> None:
        task = self._task(container_id, exec_id)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(task.process.pid, signal)

    async def attach(self, container_id: str, exec_id: str | None = None) -> Streams:
        return self._task(container_id, exec_id).attach()

    async def resize(self, container_id: str, height: int, width: int, exec_id: str | None = None) -> None:
        self._task(container_id, exec_id)

    async def reopen_log(self, container_id: str) -> None:
        self._task(container_id).reopened += 1

    async def processes(self, container_id: str) -> Sequence[int]:
        return [self._task(container_id).process.pid]

    async def pause(self, container_id: str) -> None:
        os.killpg(self._task(container_id).process.pid, signal.SIGSTOP)
        self._task(container_id).status = "paused"

    async def resume(self, container_id: str) -> None:
        os.killpg(self._task(container_id).process.pid, signal.SIGCONT)
        self._task(container_id).status = "running"

    async def update(self, container_id: str, resources: Resources) -> None:
        self.limits[container_id] = resources

    async def stats(self, container_id: str) -> Stats:
        return Stats(pids=1)

    async def recover(self) -> Sequence[TaskState]:
        return [await self.state(id) for id in self.tasks]

    def _task(self, container_id: str, exec_id: str | None = None) -> HostProcess:
        found = self.execs.get((container_id, exec_id)) if exec_id else self.tasks.get(container_id)
        if found is None:
            raise NotFound(container_id)
        return found

    async def close(self) -> None:
        for id in list(self.tasks):
            await self.delete(id)


class FolderStore(ImageStore):
    """Each image is a folder; a container's root is a copy of it, bind-mounted."""

    name: ClassVar[str] = "folder"

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self.images: dict[str, tuple[ImageRecord, Path]] = {}
        self.committed: list[tuple[str, Mapping[str, Any]]] = []
        self.diffs: dict[str, list[Change]] = {}

    def add(self, reference: str, folder: Path, **config: Any) -> ImageRecord:
        id = "sha256:" + hashlib.sha256(reference.encode()).hexdigest()
        record = ImageRecord(
            id=id,
            references=(reference,),
            repo_digests=(),
            created="",
            size=0,
            architecture="amd64",
            os="linux",
            config={"config": config},
            layers=(hashlib.sha256(str(folder).encode()).hexdigest(),),
        )
        self.images[reference] = (record, folder)
        return record

    async def inspect(self, ref: str) -> ImageRecord:
        for name, (record, _) in self.images.items():
            if ref in (name, record.id) or record.id.removeprefix("sha256:").startswith(ref):
                return record
        raise NotFound(f"no such image: {ref}")

    def writable(self, container_id: str) -> Path:
        return self.context.dirs.state / container_id

    async def prepare(self, image: str, container_id: str) -> RootFS:
        folder = next(folder for record, folder in self.images.values() if record.id == image)
        path = self.writable(container_id)
        if not path.exists():
            shutil.copytree(folder, path, symlinks=True)
        return RootFS(image=image, mounts=(FsMount(type="bind", source=str(path), options=("rbind",)),))

    async def release(self, container_id: str) -> None:
        shutil.rmtree(self.writable(container_id), ignore_errors=True)

    async def list(self) -> Sequence[ImageRecord]:
        return [record for record, _ in self.images.values()]

    async def changes(self, container_id: str) -> Sequence[Change]:
        return self.diffs.get(container_id, [])

    async def commit(
        self,
        container_id: str,
        *,
        image: str,
        reference: str = "",
        config: Any = None,
        author: str = "",
        message: str = "",
    ) -> ImageRecord:
        self.committed.append((container_id, dict(config)))
        copy = self.context.dirs.state / f"image-{len(self.images)}"
        shutil.copytree(self.writable(container_id), copy, symlinks=True)
        return self.add(reference, copy, **config)

    async def collect(self, *, containers: Sequence[str]) -> CollectReport:
        return CollectReport()

    async def usage(self) -> StoreUsage:
        return StoreUsage(layers=0, images={}, containers={})

    async def remove(self, ref: str, *, force: bool = False, in_use: Sequence[str] = ()) -> Any:
        raise Conflict(f"{ref} {force} {list(in_use)}")

    async def pull(self, reference: str, **_: Any) -> ImageRecord:
        return await self.inspect(reference)

    async def push(self, reference: str, **_: Any) -> str:
        raise Conflict("no registry")

    async def tag(self, ref: str, reference: str) -> None:
        raise Conflict("no tags")

    async def load(self, data: Any, **_: Any) -> Sequence[ImageRecord]:
        raise Conflict("no archives")

    async def import_(self, data: Any, **_: Any) -> ImageRecord:
        raise Conflict("no archives")

    async def save(self, refs: Sequence[str]) -> AsyncIterator[bytes]:  # type: ignore[override]
        raise Conflict("no archives")
        yield b""

    async def diff(self, container_id: str) -> AsyncIterator[bytes]:  # type: ignore[override]
        raise Conflict("no archives")
        yield b""
