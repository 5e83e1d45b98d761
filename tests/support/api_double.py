"""An engine, store, network and secrets of this test's own: containers are plain processes of the
host, images are dictionaries. Enough to drive the real API with the real docker command line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal as signals
import time
from dataclasses import dataclass, field, replace
from typing import Any

from moby_py.errors import AlreadyExists, Conflict, InvalidArgument, NotFound, NotModified
from moby_py.kinds import Engine
from moby_py.model import (
    Change,
    Container,
    ContainerState,
    Created,
    Event,
    ExecInstance,
    LogLine,
    ProcessTable,
    Progress,
    RemovedImage,
    Stats,
    Volume,
)
from support.api_archives import DoubleArchives
from support.api_networks import NONE, DoubleNetworks
from support.api_process import Process, hexid, stamp
from support.api_stores import DoubleStore


@dataclass
class Box:
    container: Container
    process: Process = field(default_factory=Process)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    exits: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)


class DoubleEngine(DoubleArchives, DoubleNetworks, Engine):
    name = "double"

    def __init__(self, store: DoubleStore) -> None:
        self.store = store
        self.boxes: dict[str, Box] = {}
        self.execs: dict[str, tuple[str, dict[str, Any], Process]] = {}
        self.past: list[Event] = []
        self.records = {NONE.id: NONE}
        self.archives = {}
        self.joined = {}
        self.listeners: set[asyncio.Queue[Event]] = set()
        self.calls: list[tuple[Any, ...]] = []
        self.made: dict[str, Volume] = {}
        self.watchers: set[asyncio.Task[None]] = set()

    def box(self, ref: str) -> Box:
        for box in self.boxes.values():
            if ref.removeprefix("/") == box.container.name or box.container.id.startswith(ref):
                return box
        raise NotFound(f"No such container: {ref}")

    def _state(self, box: Box, **changes: Any) -> None:
        box.container = replace(box.container, state=replace(box.container.state, **changes))

    async def create(self, body, *, name="", platform=""):
        image = await self.store.find(body.get("Image") or "")
        name = name or f"box{len(self.boxes)}"
        if any(b.container.name == name for b in self.boxes.values()):
            raise AlreadyExists(f'Conflict. The container name "/{name}" is already in use.')
        config = image.config.get("config") or {}
        cmd = [*(body.get("Entrypoint") or []), *(body.get("Cmd") or config.get("Cmd") or [])]
        id = hexid()
        host = body.get("HostConfig") or {}
        self.boxes[id] = Box(
            Container(
                id=id,
                name=name,
                created=stamp(),
                image=body["Image"],
                image_id=image.id,
                runtime=host.get("Runtime") or "double",
                path=cmd[0],
                args=tuple(cmd[1:]),
                state=ContainerState(status="created"),
                intent=body,
                network={"Networks": {"none": {"NetworkID": "n" * 64}}, "Ports": {"80/tcp": None}},
            )
        )
        self.emit("container", "create", id, {"image": body["Image"], "name": name})
        return Created(id=id, warnings=("a warning",) if platform else ())

    async def start(self, ref):
        box = self.box(ref)
        if box.container.state.status == "running":
            raise NotModified(f"container {ref} is already started")
        if box.process.ended.is_set():
            box.process = Process()
        c = box.container
        env = dict(e.partition("=")[::2] for e in c.intent.get("Env") or ())
        try:
            await box.process.start(
                [c.path, *c.args],
                {"PATH": os.environ["PATH"], **env},
                tty=bool(c.intent.get("Tty")),
                stdin=bool(c.intent.get("OpenStdin")),
            )
        except InvalidArgument:
            if (c.intent.get("HostConfig") or {}).get("AutoRemove"):
                await self.remove(c.id)
            raise
        self._state(box, status="running", pid=box.process.pid, started_at=stamp())
        self.emit("container", "start", c.id, {"image": c.image, "name": c.name})
        task = asyncio.create_task(self._watch(box, box.process))
        self.watchers.add(task)
        task.add_done_callback(self.watchers.discard)

    async def _watch(self, box: Box, process: Process) -> None:
        await process.ended.wait()
        c = box.container
        self._state(box, status="exited", pid=0, exit_code=process.code, finished_at=stamp())
        box.exits += 1
        self.emit("container", "die", c.id, {"image": c.image, "name": c.name, "exitCode": str(process.code)})
        async with box.changed:
            box.changed.notify_all()
        if (c.intent.get("HostConfig") or {}).get("AutoRemove"):
            await self.remove(c.id)

    async def stop(self, ref, *, timeout=None, signal=""):
        self.calls.append(("stop", timeout, signal))
        box = self.box(ref)
        if box.container.state.status != "running":
            raise NotModified("already stopped")
        box.process.kill(signals.SIGTERM)
        await asyncio.sleep(0.05)
        box.process.kill(signals.SIGKILL)
        await box.process.ended.wait()
        await asyncio.sleep(0)

    async def restart(self, ref, *, timeout=None, signal=""):
        with contextlib.suppress(NotModified):
            await self.stop(ref, timeout=timeout, signal=signal)
        await asyncio.sleep(0.05)
        await self.start(ref)

    async def kill(self, ref, signal="SIGKILL"):
        self.calls.append(("kill", signal))
        box = self.box(ref)
        if box.container.state.status != "running":
            raise Conflict(f"Container {box.container.id} is not running")
        number = int(signal) if signal.isdigit() else signals.Signals["SIG" + signal.removeprefix("SIG")]
        box.process.kill(int(number))

    async def pause(self, ref):
        self._state(self.box(ref), status="paused")

    async def unpause(self, ref):
        self._state(self.box(ref), status="running")

    async def remove(self, ref, *, force=False, volumes=False):
        self.calls.append(("remove", force, volumes))
        box = self.box(ref)
        if box.container.state.status == "running":
            if not force:
                raise Conflict(
                    f'cannot remove container "/{box.container.name}": container is running',
                    hint="stop the container before removing or force remove",
                )
            box.process.kill(signals.SIGKILL)
            await box.process.ended.wait()
        self.boxes.pop(box.container.id, None)
        box.gone.set()
        self.emit("container", "destroy", box.container.id, {"name": box.container.name})

    async def rename(self, ref, name):
        box = self.box(ref)
        box.container = replace(box.container, name=name)

    async def update(self, ref, body):
        self.calls.append(("update", self.box(ref).container.name, body))
        return ("swap is off",)

    async def wait(self, ref, condition="not-running"):
        box = self.box(ref)
        if condition == "removed":
            await box.gone.wait()
        elif condition == "next-exit":
            seen = box.exits
            async with box.changed:
                await box.changed.wait_for(lambda: box.exits > seen)
        elif box.container.state.status == "running":
            await box.process.ended.wait()
        return box.process.code, ""

    async def inspect(self, ref):
        return self.box(ref).container

    async def list(self, *, all=False, limit=0, filters=None):
        self.calls.append(("list", all, limit, dict(filters or {})))
        found = [b.container for b in reversed(self.boxes.values())]
        wanted = (filters or {}).get("status")
        return [
            c
            for c in found
            if (all or c.state.status in ("running", "paused")) and (not wanted or c.state.status in wanted)
        ]

    async def top(self, ref, ps_args="-ef"):
        return ProcessTable(titles=("PID", "CMD"), rows=((str(self.box(ref).process.pid), "sleep"),))

    async def stats(self, ref):
        self.box(ref)
        return Stats(
            cpu_total=10**9,
            memory_usage=2 * 1024**2,
            memory_limit=1024**3,
            pids=1,
            memory={"inactive_file": 1024**2},
        )

    async def changes(self, ref):
        self.box(ref)
        return [Change(path="/etc", kind=0), Change(path="/etc/new", kind=1)]

    async def logs(self, ref, options):
        process = self.box(ref).process
        lines = [n for n in process.log if (options.stdout, options.stderr)[n.stream - 1]]
        live = process.attach() if options.follow else None
        for line in lines[-options.tail :] if options.tail > 0 else lines:
            yield line
        while live and (piece := await live.read()):
            yield LogLine(stream=piece[0], time=stamp(), text=piece[1])

    async def events(self, *, since=0.0, until=0.0, filters=None):
        queue: asyncio.Queue[Event] = asyncio.Queue()
        self.listeners.add(queue)
        try:
            for event in list(self.past) if since else ():
                yield event
            while not until:
                yield await queue.get()
        finally:
            self.listeners.discard(queue)

    async def attach(self, ref, options):
        return self.box(ref).process.attach()

    async def resize(self, ref, height, width):
        self.calls.append(("resize", height, width))
        self.box(ref).process.resize(height, width)

    async def exec_create(self, ref, body):
        box = self.box(ref)
        if box.container.state.status != "running":
            raise Conflict(f"container {box.container.id} is not running")
        id = hexid()
        self.execs[id] = (box.container.id, dict(body), Process())
        return id

    async def exec_start(self, exec_id, *, detach, tty=False):
        _, body, process = self.execs[exec_id]
        live = None if detach else process.attach()
        env = dict(e.partition("=")[::2] for e in body.get("Env") or ())
        try:
            await process.start(
                body["Cmd"],
                {"PATH": os.environ["PATH"], **env},
                tty=bool(body.get("Tty")),
                stdin=bool(body.get("AttachStdin")),
            )
        except InvalidArgument:
            process.code = 127
            process.ended.set()
            raise
        return live

    async def exec_inspect(self, exec_id):
        if exec_id not in self.execs:
            raise NotFound(f"No such exec instance: {exec_id}")
        container, body, process = self.execs[exec_id]
        ended = process.ended.is_set()
        return ExecInstance(
            id=exec_id,
            container_id=container,
            running=process.started.is_set() and not ended,
            exit_code=process.code if ended else None,
            pid=process.pid,
            config=body,
        )

    async def exec_resize(self, exec_id, height, width):
        self.execs[exec_id][2].resize(height, width)

    async def pull(self, reference, *, platform="", auth=None, progress=None):
        self.calls.append(("pull", reference, platform, auth))
        if "missing" in reference:
            raise NotFound(f"pull access denied for {reference}, repository does not exist")
        progress(Progress(status="Pulling from library/busybox", id="1"))
        progress(Progress(status="Downloading", id="abc123", current=512, total=1024))
        await asyncio.sleep(0)
        if "breaks" in reference:
            raise InvalidArgument("the layer broke")
        progress(Progress(status="Pull complete", id="abc123"))
        return self.store.add(reference)

    async def remove_image(self, ref, *, force=False):
        image = await self.store.inspect(ref)
        self.store.images.remove(image)
        return RemovedImage(untagged=image.references, deleted=(image.id,))

    async def commit(self, ref, *, reference="", author="", message="", config=None, pause=True):
        self.calls.append(("commit", reference, author, message, config, pause))
        return self.store.add(reference)

    async def collect(self):
        return {}

    async def volume_create(self, name="", *, driver="local", options=None, labels=None):
        name = name or hexid()
        made = Volume(
            name=name, driver=driver, mountpoint="/nowhere/" + name, created=stamp(), labels=labels or {}
        )
        return self.made.setdefault(name, made)

    async def volumes(self):
        return list(self.made.values())

    async def volume_inspect(self, name):
        if name not in self.made:
            raise NotFound(f"get {name}: no such volume")
        return self.made[name]

    async def volume_remove(self, name, *, force=False):
        await self.volume_inspect(name)
        del self.made[name]

    async def volume_usage(self, name):
        await self.volume_inspect(name)
        return 7

    async def volume_export(self, name):
        await self.volume_inspect(name)

        async def data():
            yield b"the data of "
            yield name.encode()

        return data()

    async def volume_import(self, name, data):
        self.calls.append(("import", name, b"".join([piece async for piece in data])))
        return await self.volume_create(name)

    async def volume_clone(self, source, name):
        await self.volume_inspect(source)
        return await self.volume_create(name)

    async def info(self):
        return {"Runtimes": {"double": {"path": "x"}}, "DefaultRuntime": "double", "Containers": 3}

    def emit(self, type, action, actor, attributes):
        event = Event(type=type, action=action, actor=actor, attributes=attributes, time_nano=time.time_ns())
        self.past.append(event)
        for listener in self.listeners:
            listener.put_nowait(event)
        return event

    async def shutdown(self):
        for box in self.boxes.values():
            box.process.kill(signals.SIGKILL)
        for _, _, process in self.execs.values():
            if process.pid and not process.ended.is_set():
                process.kill(signals.SIGKILL)
                await process.ended.wait()
        for task in tuple(self.watchers):
            await task
