"""One task per running container with a health check: sleep, probe, record, tell."""

from __future__ import annotations

import asyncio
import contextlib
import signal

from moby_components.engine.moby.clock import nanoseconds, now_ns
from moby_components.engine.moby.core import Core
from moby_components.engine.moby.entry import Entry
from moby_components.engine.moby.execs import Execs
from moby_components.engine.moby.health.plan import HealthCheck, health_check
from moby_components.engine.moby.health.state import Output, Result, after, begun, ended
from moby_components.engine.moby.health.words import go_duration
from moby_py.errors import MobyError
from moby_py.model import Streams

_PATIENCE = 10.0
"""Seconds for a killed probe to be gone: dying probes must not pile up."""


class Health:
    """A probe is an exec like any other, with its events; it runs in nobody's name but the engine's."""

    def __init__(self, core: Core, execs: Execs) -> None:
        self._core = core
        self._execs = execs

    def begin(self, entry: Entry) -> None:
        """A run has begun."""
        record = entry.record
        check = self._check(entry)
        health = begun(record.health) if check is not None else None
        if health != record.health:
            record.health = health
            self._core.save(entry)
        self.resume(entry)

    def resume(self, entry: Entry) -> None:
        """Probe on with the health as it is recorded: after a pause, after a start of the daemon."""
        check = self._check(entry)
        if check is None or entry.record.health is None or entry.health is not None:
            return
        if entry.record.status == "running":
            entry.health = self._core.spawn(self._run(entry, check), f"health of {entry.id[:12]}")

    def hold(self, entry: Entry) -> None:
        """No more probes until `resume`."""
        task, entry.health = entry.health, None
        if task is not None:
            task.cancel()

    def end(self, entry: Entry) -> None:
        """The run is over. The caller saves the record."""
        self.hold(entry)
        if entry.record.health is not None:
            entry.record.health = ended(entry.record.health)

    def _check(self, entry: Entry) -> HealthCheck | None:
        """None also where the runtime cannot look: its `create` said so."""
        runtime = self._core.runtimes.get(entry.record.runtime)
        if runtime is None or "exec" not in runtime.features:
            return None
        try:
            return health_check(entry.record.intent)
        except MobyError as error:  # made by an older moby-py, which did not look
            self._core.log.warning("container %s has no health: %s", entry.record.name, error)
            return None

    async def _run(self, entry: Entry, check: HealthCheck) -> None:
        started = nanoseconds(entry.record.started_at)
        while entry.record.health is not None:
            running_for = (now_ns() - started) / 1e9
            await asyncio.sleep(check.pause(entry.record.health["status"], running_for))
            result = await self._probe(entry, check)
            if result is None or entry.record.health is None:
                continue
            before = entry.record.health["status"]
            entry.record.health = after(entry.record.health, result, check, started)
            self._core.save(entry)
            now = entry.record.health["status"]
            if now != before:
                self._core.happened(entry, f"health_status: {now}")

    async def _probe(self, entry: Entry, check: HealthCheck) -> Result | None:
        """None when the container cannot be looked at just now."""
        start, output = now_ns(), Output()
        body = {"Cmd": list(check.command), "AttachStdout": True, "AttachStderr": True}
        id = ""
        try:
            id = await self._execs.create(entry.id, body)
            streams = await self._execs.start(id, detach=False, tty=False)
        except MobyError as error:
            if entry.record.status != "running":
                return None
            return Result(start, now_ns(), -1, str(error))
        try:
            # The time that its start took counts as well.
            left = max(0.0, check.timeout - (now_ns() - start) / 1e9)
            async with asyncio.timeout(left):
                await _read(streams, output)
        except TimeoutError:
            await self._kill(entry, id, streams)
            text = f"Health check exceeded timeout ({go_duration(check.timeout)})"
            return Result(start, now_ns(), -1, f"{text}: {output}" if str(output) else text)
        finally:
            if streams is not None:
                await streams.close()
        code = self._execs.inspect(id).exit_code
        return Result(start, now_ns(), -1 if code is None else code, str(output))

    async def _kill(self, entry: Entry, id: str, streams: Streams | None) -> None:
        try:
            await self._core.runtime_of(entry.record).exec_kill(entry.id, id, signal.SIGKILL)
        except (MobyError, OSError) as error:
            self._core.log.warning("health check of %s: %s", entry.record.name, error)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await _read(streams, Output())


async def _read(streams: Streams | None, output: Output) -> None:
    """To the end; with it the exec has ended."""
    while streams is not None and (piece := await streams.read()) is not None:
        output.add(piece[1])
