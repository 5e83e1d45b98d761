"""Which containers' logs are sent on, and by which task."""

from __future__ import annotations

import asyncio
from pathlib import Path

from moby_components.common.logattributes import Logged
from moby_components.engine.moby.core import Core
from moby_components.engine.moby.entry import Entry
from moby_components.engine.moby.logs.journal import SOCKET, check_there, fields, ship

_PATIENCE = 5.0
"""Seconds that the removal of a container waits for its last lines to be sent."""


class Shipping:
    def __init__(self, core: Core) -> None:
        self._core = core
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def _socket(self) -> Path:
        return Path(self._core.context.options.get("journal_socket") or SOCKET)

    def check(self, entry: Entry) -> None:
        """Before a start. Raises `Unavailable`."""
        if self._core.log_plan(entry.record).driver == "journald":
            check_there(self._socket)

    def watch(self, entry: Entry) -> None:
        """Send what is written, to the end of the run; of one that has ended what was not sent yet."""
        core, record = self._core, entry.record
        plan = core.log_plan(record)
        if plan.driver != "journald":
            return
        who = Logged.of(record.id, record.name, record.image, record.image_id, record.intent)
        on_end = entry.ended.append if record.live else None
        before = self._tasks.get(entry.id)
        log = core.layout.log(entry.id)

        async def work() -> None:
            if before is not None:
                await asyncio.wait([before])
            await ship(log, log.with_name("journal"), fields(plan.settings, who), self._socket, on_end)

        self._tasks[entry.id] = core.spawn(work(), f"log of {entry.id[:12]}")

    async def finish(self, entry: Entry) -> None:
        """Before the log goes: let the last lines be sent, where the journal takes them."""
        task = self._tasks.pop(entry.id, None)
        if task is not None:
            await asyncio.wait([task], timeout=_PATIENCE)
            task.cancel()
