"""The start after any end of the daemon: what still lives is adopted, what is half-done is undone."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Awaitable

from moby_components.engine.moby.clock import nanoseconds, now_ns, rfc3339
from moby_components.engine.moby.core import Core
from moby_components.engine.moby.entry import Entry
from moby_components.engine.moby.lifecycle import left_behind, release
from moby_components.engine.moby.lifecycle.release import Releaser
from moby_components.engine.moby.lifecycle.remove import Remover
from moby_components.engine.moby.lifecycle.stop import Stopper
from moby_components.engine.moby.lifecycle.watch import LOST, Watcher
from moby_components.engine.moby.networking import endpoints, live
from moby_components.engine.moby.restart import RestartPolicy
from moby_py.errors import MobyError
from moby_py.kinds import Runtime
from moby_py.model import ExitStatus, TaskState


class Recovery:
    def __init__(
        self,
        core: Core,
        releaser: Releaser,
        watcher: Watcher,
        stopper: Stopper,
        remover: Remover,
    ) -> None:
        self._core = core
        self._releaser = releaser
        self._watcher = watcher
        self._stopper = stopper
        self._remover = remover
        self._left: set[str] = set()

    async def run(self) -> None:
        """Load the records and join them with what the runtimes hold. Returns when every container is
        in a state that can be served; starts that policies ask for go on in the background."""
        core = self._core
        for record in core.db.containers():
            core.add(record).back_off.delay = record.back_off
        left_behind.refuse_running(core, core.entries.values())
        for record in (entry.record for entry in core.entries.values()):
            (core.layout.containers / record.id).mkdir(mode=0o700, exist_ok=True)
        tasks = await self._tasks()
        for id in set(tasks) - set(core.entries):
            core.log.warning("removing an unknown container %s of runtime %s", id[:12], tasks[id][0])
            with contextlib.suppress(MobyError):
                await tasks[id][1].delete(id)
        for id in release.leftovers(core) - set(core.entries):
            core.log.warning("removing what is left of an unknown container %s", id[:12])
            await asyncio.to_thread(release.sweep, core, id)
        self._sweep_logs()
        living = [id for id, (_, _, task) in tasks.items() if task.status != "stopped"]
        await endpoints.recover(core, [core.entries[id] for id in living if id in core.entries])
        self._left = release.leftovers(core)
        for entry in list(core.entries.values()):
            await self._one(entry, tasks.get(entry.id))
        for entry in list(core.entries.values()):
            self._boot(entry)
            if not entry.record.live:
                self._watcher.rest(entry)

    async def _tasks(self) -> dict[str, tuple[str, Runtime, TaskState]]:
        found = {}
        for name, runtime in self._core.runtimes.items():
            for task in await runtime.recover():
                found[task.id] = (name, runtime, task)
        return found

    async def _one(self, entry: Entry, held: tuple[str, Runtime, TaskState] | None) -> None:
        """One container: adopt it, record its end, or undo what the kill left."""
        core, record = self._core, entry.record
        if held is not None and record.runtime != held[0]:
            record.runtime = held[0]
        task = held[2] if held is not None else None
        if record.status == "removing":
            async with entry.lock:
                await self._try(self._remover.erase(entry), entry, "finish its removal")
            return
        if record.starting:
            if task is not None and task.status in ("running", "paused", "stopped"):
                # The runtime had started it; only our note of it is missing.
                self._note_start(entry)
            else:
                core.log.info("undoing the half-done start of %s", record.name)
                await self._releaser.release(entry)
                record.starting = False
                record.pid = 0
                core.save(entry)
                return
        if record.live:
            await self._adopt(entry, task)
        elif task is not None or entry.id in self._left:
            await self._releaser.release(entry)
            core.save(entry)

    def _note_start(self, entry: Entry) -> None:
        record = entry.record
        if not record.live:
            entry.move("started")
        record.starting = False
        record.started_before = True
        record.exit_code = 0
        record.started_at = rfc3339(now_ns())
        self._core.save(entry)

    async def _adopt(self, entry: Entry, task: TaskState | None) -> None:
        """It was running: it still is, or it ended while nobody looked."""
        core, record = self._core, entry.record
        if record.ending:
            code, at, oom, error = record.ending
            seen = ExitStatus(code=code, at=at / 1e9, oom_killed=oom, error=error)
            await self._watcher.ended(entry, seen)
            return
        if task is None or task.status == "created":
            await self._watcher.ended(entry, left_behind.ended(core, entry) or LOST)
            return
        if task.status == "stopped":
            status = task.exit or LOST
            await self._watcher.ended(entry, status)
            return
        record.pid = task.pid
        if task.status == "paused" and record.status == "running":
            entry.move("paused")
        elif task.status == "running" and record.status == "paused":
            entry.move("resumed")
        await self._try(live.mend(core, entry), entry, "mend its networks")
        core.save(entry)
        core.log.info("adopted running container %s", record.name)
        self._watcher.adopt(entry)

    def _boot(self, entry: Entry) -> None:
        """Policies: a restart that was under way goes on; `always` and its like start what is down."""
        record = entry.record
        if entry.gone or record.live or entry.restart is not None:
            return
        if record.status == "restarting":
            waited = (now_ns() - nanoseconds(record.finished_at)) / 1e9
            self._watcher.restart_later(entry, max(0.0, record.back_off - waited))
            return
        if record.auto_remove and record.started_before:
            self._watcher.remove_later(entry)
            return
        policy = RestartPolicy.of(record.host)
        if record.status == "exited" and policy.at_boot(
            stopped_by_user=record.stopped_by_user,
            resume=record.resume,
            started_before=record.started_before,
        ):
            self._core.spawn(self._start(entry), f"start of {record.name}")

    async def _start(self, entry: Entry) -> None:
        try:
            await self._stopper.start(entry.id)
        except MobyError as error:
            async with entry.lock:
                self._watcher.not_yet(entry, error)

    async def _try(self, work: Awaitable[None], entry: Entry, what: str) -> None:
        try:
            await work
        except (MobyError, OSError) as error:
            self._core.log.warning("container %s: cannot %s - %s", entry.record.name, what, error)

    def _sweep_logs(self) -> None:
        """Folders of containers whose removal was cut short after their row went."""
        for path in self._core.layout.containers.iterdir():
            if path.name not in self._core.entries:
                shutil.rmtree(path, ignore_errors=True)
