"""The end of a run: record it, clean up, tell everyone, and start again where the policy says so."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial

from moby_components.engine.moby.clock import nanoseconds, now_ns, rfc3339
from moby_components.engine.moby.core import Core
from moby_components.engine.moby.entry import Entry
from moby_components.engine.moby.health.monitor import Health
from moby_components.engine.moby.lifecycle.release import Releaser
from moby_components.engine.moby.logs.rotate import Rotator
from moby_components.engine.moby.logs.shipping import Shipping
from moby_components.engine.moby.restart import RestartPolicy, worth_retrying
from moby_py.errors import MobyError, NotFound
from moby_py.model import ExitStatus

LOST = ExitStatus(code=255, at=0.0, error="the end was not seen")
"""For a container that was running and of which no runtime knows anything any more (a reboot)."""
_EXEC_GRACE = 2.0


class Watcher:
    """`again` and `remove` are set by those who start and remove: they need this one first."""

    def __init__(
        self, core: Core, releaser: Releaser, rotator: Rotator, health: Health, shipping: Shipping
    ) -> None:
        self._core = core
        self._releaser = releaser
        self._rotator = rotator
        self._health = health
        self._shipping = shipping
        self.again: Callable[[Entry], Awaitable[None]]
        self.remove: Callable[[Entry], Awaitable[None]]

    def watch(self, entry: Entry) -> None:
        """A process was started: wait for its end, look after its log and its health."""
        self._attend(entry)
        self._health.begin(entry)

    def adopt(self, entry: Entry) -> None:
        """The same for one that an earlier daemon started."""
        self._attend(entry)
        self._health.resume(entry)

    def _attend(self, entry: Entry) -> None:
        core = self._core
        runtime = core.runtime_of(entry.record)
        self._rotator.watch(
            entry.id,
            core.layout.log(entry.id),
            core.log_plan(entry.record),
            partial(runtime.reopen_log, entry.id),
        )
        self._shipping.watch(entry)
        entry.ooms = core.spawn(self._ooms(entry), f"memory of {entry.id[:12]}")
        entry.monitor = core.spawn(self._wait(entry), f"wait for {entry.id[:12]}")

    async def _wait(self, entry: Entry) -> None:
        try:
            status = await self._core.runtime_of(entry.record).wait(entry.id)
        except NotFound:
            status = LOST
        await self.ended(entry, status)

    async def _ooms(self, entry: Entry) -> None:
        """Told when it happens: the container itself may live on without the process that was killed."""
        with contextlib.suppress(NotFound):
            while await self._core.runtime_of(entry.record).out_of_memory(entry.id):
                entry.record.oom_killed = True
                self._core.save(entry)
                self._core.happened(entry, "oom")

    async def ended(self, entry: Entry, status: ExitStatus) -> None:
        """The run is over. Nothing for a container that is not live (any more)."""
        core, record = self._core, entry.record
        async with entry.lock:
            if not record.live or entry.gone:
                return
            self._health.end(entry)
            if entry.ooms is not None:
                entry.ooms.cancel()
            # Saved first: the runtime forgets the exit code with the task.
            at = int(status.at * 1e9) or now_ns()
            record.ending = [status.code, at, status.oom_killed, status.error]
            core.save(entry)
            await self._let_execs_end(entry)
            await self._releaser.release(entry)
            ran_for = max(0, at - nanoseconds(record.started_at))
            again = not core.closing and RestartPolicy.of(record.host).after_exit(
                status.code, record.restart_count, stopped_by_user=record.stopped_by_user
            )
            entry.move("ended-restart" if again else "ended")
            record.ending = []
            record.pid = 0
            record.exit_code = status.code
            told, record.oom_killed = record.oom_killed, record.oom_killed or status.oom_killed
            record.error = status.error
            record.finished_at = rfc3339(at)
            if again:
                self._count(entry, ran_for / 1e9)
            core.save(entry)
            if record.oom_killed and not told:
                core.happened(entry, "oom")
            seconds = str(ran_for // 1_000_000_000)
            core.happened(entry, "die", exitCode=str(status.code), execDuration=seconds)
            entry.tell()
            if again:
                self.restart_later(entry, record.back_off)
            elif record.auto_remove and not entry.keep:
                self.remove_later(entry)

    def restart_later(self, entry: Entry, delay: float) -> None:
        """The container is in the state "restarting"; `stop` cancels the task."""

        async def restart() -> None:
            await asyncio.sleep(delay)
            async with entry.lock:
                if entry.record.status != "restarting" or entry.gone or self._core.closing:
                    return
                entry.restart = None
                try:
                    await self.again(entry)
                except MobyError as error:
                    self.not_yet(entry, error)

        entry.restart = self._core.spawn(restart(), f"restart of {entry.id[:12]}")

    def not_yet(self, entry: Entry, error: MobyError) -> None:
        """A start that the policy asked for failed (the lock is held): once more after the back-off,
        where that can help. At boot much of what a container needs may come up after it."""
        core, record = self._core, entry.record
        core.log.warning("cannot restart %s: %s", record.name, error)
        wanted = RestartPolicy.of(record.host).after_exit(
            record.exit_code or 255, record.restart_count, stopped_by_user=record.stopped_by_user
        )
        if record.status != "exited" or entry.gone or core.closing or not wanted:
            return
        if worth_retrying(error, record.exit_code):
            entry.move("start-failed")
            self._count(entry, 0.0)
            core.save(entry)
            self.restart_later(entry, record.back_off)

    def _count(self, entry: Entry, ran_for: float) -> None:
        """One restart more; its delay is recorded, so that a killed daemon begins no crash loop anew."""
        entry.record.restart_count += 1
        entry.record.back_off = entry.back_off.next(ran_for)

    def check(self, entry: Entry) -> None:
        """What a start needs for its log. Raises `Unavailable`."""
        self._shipping.check(entry)

    def rest(self, entry: Entry) -> None:
        """Of a container that does not run: what an earlier daemon had not sent of its log."""
        self._shipping.watch(entry)

    async def last_lines(self, entry: Entry) -> None:
        """Its log is about to go."""
        await self._shipping.finish(entry)

    def remove_later(self, entry: Entry) -> None:
        """--rm, once the lock is free."""
        if entry.removal is None:
            entry.removal = self._core.spawn(self._remove(entry), f"removal of {entry.id[:12]}")

    async def _remove(self, entry: Entry) -> None:
        with contextlib.suppress(NotFound):
            await self.remove(entry)

    async def _let_execs_end(self, entry: Entry) -> None:
        """Their processes went with the container's; their exit codes are read before its folder goes."""
        tasks = [e.task for e in entry.execs.values() if e.task is not None and not e.task.done()]
        if tasks:
            await asyncio.wait(tasks, timeout=_EXEC_GRACE)
