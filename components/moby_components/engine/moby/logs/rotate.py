"""Rotation: when a log passes max-size, rename it and let the monitor write on into a new file.

Only logs with a limit are watched, by inotify; the size is looked at when something was written.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from moby_components.engine.moby.logs import inotify
from moby_components.engine.moby.logs.files import rotated
from moby_components.engine.moby.rendering.logconfig import LogPlan

Reopen = Callable[[], Awaitable[None]]


class Rotator:
    """Watches the logs of running containers. Opened once per engine, on its loop."""

    def __init__(self, spawn: Callable[..., object]) -> None:
        self._inotify: inotify.Inotify | None = None
        self._spawn = spawn
        self._watches: dict[str, int] = {}
        self._busy: set[str] = set()

    def watch(self, id: str, log: Path, plan: LogPlan, reopen: Reopen) -> None:
        """From now on, until `unwatch`. Nothing is done for a log without a limit."""
        if not plan.keep or not plan.max_size:
            return
        self._inotify = self._inotify or inotify.Inotify()

        def look(_: int) -> None:
            with contextlib.suppress(FileNotFoundError):
                if id not in self._busy and log.stat().st_size >= plan.max_size:
                    self._busy.add(id)
                    self._spawn(self._rotate(id, log, plan, reopen), f"rotate the log of {id[:12]}")

        # The folder, not the file: it is watched across rotations.
        self._watches[id] = self._inotify.watch(log.parent, inotify.IN_MODIFY, look)
        look(0)

    def unwatch(self, id: str) -> None:
        number = self._watches.pop(id, None)
        if number is not None and self._inotify is not None:
            self._inotify.unwatch(number)

    def close(self) -> None:
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None
        self._watches.clear()

    async def _rotate(self, id: str, log: Path, plan: LogPlan, reopen: Reopen) -> None:
        try:
            await asyncio.to_thread(shift, log, plan.files)
            await reopen()
        finally:
            self._busy.discard(id)


def shift(log: Path, files: int) -> None:
    """log -> log.1 -> log.2 ...; of `files` in all the oldest goes. With one file the old text goes,
    once the monitor has let go of it."""
    for number in range(files - 1, 0, -1):
        with contextlib.suppress(FileNotFoundError):
            rotated(log, number - 1).rename(rotated(log, number))
    if files == 1:
        log.unlink(missing_ok=True)
