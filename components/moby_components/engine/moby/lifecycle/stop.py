"""stop, kill, restart, pause and unpause, and the stop of everything."""

from __future__ import annotations

import asyncio
import contextlib
import signal as signals

from moby_components.engine.moby.core import Core
from moby_components.engine.moby.entry import Entry
from moby_components.engine.moby.health.monitor import Health
from moby_components.engine.moby.lifecycle.start import Starter
from moby_components.engine.moby.rendering.check import lacks
from moby_components.engine.moby.signals import parse_signal
from moby_py.errors import Conflict, InvalidArgument, NotFound, NotModified, RuntimeFailed

GRACE = 10
KILL_PATIENCE = 30.0
"""SIGKILL cannot be refused; what outlives it so long sits in the kernel."""


class Stopper:
    def __init__(self, core: Core, starter: Starter, health: Health) -> None:
        self._core = core
        self._starter = starter
        self._health = health

    async def stop(
        self, ref: str, *, timeout: int | None = None, signal: str = "", by_user: bool = True
    ) -> None:
        """See the contract. `by_user` False leaves restart policies as they are (the platform goes down)."""
        async with self._core.locked(ref, "stop") as entry:
            record = entry.record
            number = parse_signal(signal or record.intent.get("StopSignal") or "SIGTERM")
            if by_user:
                record.stopped_by_user, record.resume = True, False
            if record.status == "restarting":
                self.cancel_restart(entry)
                return
            self._core.save(entry)
            done = entry.waiter("not-running")
            await self._send(entry, number)
        grace = timeout if timeout is not None else record.intent.get("StopTimeout")
        grace = GRACE if grace is None else grace
        try:
            async with asyncio.timeout(None if grace < 0 else grace):
                await asyncio.shield(done)
        except TimeoutError:
            await self._kill_hard(entry, done)
        if not entry.gone:
            self._core.happened(entry, "stop")

    async def kill(self, ref: str, signal: str) -> None:
        number = parse_signal(signal or "SIGKILL")
        async with self._core.locked(ref, "kill") as entry:
            stopping = parse_signal(entry.record.intent.get("StopSignal") or "SIGTERM")
            if number in (signals.SIGKILL, stopping):
                entry.record.stopped_by_user = True
                self._core.save(entry)
            done = entry.waiter("not-running")
            await self._send(entry, number)
        if number == signals.SIGKILL:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(KILL_PATIENCE):
                    await asyncio.shield(done)

    async def force_down(self, entry: Entry) -> None:
        """For `rm -f`: whatever runs is killed, whatever waits for a restart waits no more."""
        async with entry.lock:
            if entry.gone or not entry.record.active:
                return
            entry.record.stopped_by_user = True
            if entry.record.status == "restarting":
                self.cancel_restart(entry)
                return
            done = entry.waiter("not-running")
        await self._kill_hard(entry, done)

    async def restart(self, ref: str, *, timeout: int | None = None, signal: str = "") -> None:
        entry = self._core.get(ref)
        entry.keep = True
        try:
            if entry.record.active:
                with contextlib.suppress(Conflict, NotModified):  # it may end by itself meanwhile
                    await self.stop(entry.id, timeout=timeout, signal=signal)
            async with self._core.locked(entry.id, "start"):
                self.fresh(entry)
                await self._starter.start(entry)
        finally:
            entry.keep = False
        self._core.happened(entry, "restart")

    async def start(self, ref: str) -> None:
        async with self._core.locked(ref, "start") as entry:
            self.fresh(entry)
            await self._starter.start(entry)

    def fresh(self, entry: Entry) -> None:
        """Someone starts it on purpose: the restart policy counts from nothing."""
        entry.record.restart_count = 0
        entry.record.stopped_by_user = False
        entry.record.back_off = entry.back_off.delay = 0.0

    async def pause(self, ref: str) -> None:
        async with self._core.locked(ref, "pause") as entry:
            runtime = self._core.runtime_of(entry.record)
            if "pause" not in runtime.features:
                raise lacks(entry.record.runtime, "pause", "pause")
            await runtime.pause(entry.id)
            entry.move("paused")
            self._health.hold(entry)
            self._core.save(entry)
            self._core.happened(entry, "pause")

    async def unpause(self, ref: str) -> None:
        async with self._core.locked(ref, "unpause") as entry:
            await self._thaw(entry)

    async def shutdown(self) -> None:
        """All at once, each with its own grace; policies stay as they were and hold at the next start."""
        self._core.closing = True
        active = [entry for entry in self._core.entries.values() if entry.record.active]
        for entry in active:
            entry.record.resume = True
            self._core.save(entry)
        results = await asyncio.gather(
            *(self.stop(entry.id, by_user=False) for entry in active), return_exceptions=True
        )
        for entry, result in zip(active, results, strict=True):
            if isinstance(result, BaseException) and not isinstance(result, NotFound):
                self._core.log.warning("stopping %s: %s", entry.record.name, result)
        removals = [entry.removal for entry in active if entry.removal is not None]
        await asyncio.gather(*removals, return_exceptions=True)

    def cancel_restart(self, entry: Entry) -> None:
        if entry.restart is not None:
            entry.restart.cancel()
            entry.restart = None
        entry.move("cancelled")
        self._core.save(entry)
        entry.tell()

    async def _send(self, entry: Entry, number: int) -> None:
        """The signal; a paused container is thawed to hear it."""
        runtime = self._core.runtime_of(entry.record)
        try:
            await runtime.kill(entry.id, number)
        except (Conflict, NotFound):
            return  # it has just ended; the end is being recorded
        self._core.happened(entry, "kill", signal=str(number))
        if entry.record.status == "paused" and number != signals.SIGKILL:
            await self._thaw(entry)

    async def _thaw(self, entry: Entry) -> None:
        await self._core.runtime_of(entry.record).resume(entry.id)
        entry.move("resumed")
        self._core.save(entry)
        self._core.happened(entry, "unpause")
        self._health.resume(entry)

    async def _kill_hard(self, entry: Entry, done: asyncio.Future[tuple[int, str]]) -> None:
        async with entry.lock:
            if entry.record.live and not entry.gone:
                await self._send(entry, signals.SIGKILL)
        try:
            async with asyncio.timeout(KILL_PATIENCE):
                await asyncio.shield(done)
        except TimeoutError:
            raise RuntimeFailed(
                f"cannot stop container {entry.record.name} - "
                f"it has not ended {KILL_PATIENCE:.0f} s after SIGKILL",
                hint="a process of it may hang in the kernel (state D in ps)",
            ) from None


def check_condition(condition: str) -> None:
    if condition not in ("not-running", "next-exit", "removed"):
        raise InvalidArgument(f'invalid condition: "{condition}"')
