"""Rotation: when a log passes max-size, rename it and let the monitor write on into a new file.

Only logs with a limit are watched, by inotify; the size is looked at when something was written. The
old file is packed (`compress`) once the new one has appeared: until then the monitor may write to it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from moby_components.common import inotify
from moby_components.engine.moby.logs.files import packed, rotated
from moby_components.engine.moby.logs.packed import pack
from moby_components.engine.moby.rendering.logconfig import LogPlan

_REOPENED = 10.0
"""Seconds that a monitor may take to open its new file; a slower one's old file stays as it is."""
Reopen = Callable[[], Awaitable[None]]


class Rotator:
    """Watches the logs of running containers. Opened once per engine, on its loop."""

    def __init__(self, spawn: Callable[..., object]) -> None:
        self._inotify: inotify.Inotify | None = None
        self._spawn = spawn
        self._watches: dict[str, int] = {}
        self._busy: set[str] = set()
        self._fresh: dict[str, asyncio.Event] = {}
        """Set when something happens in the folder of a log that is being rotated."""

    def watch(self, id: str, log: Path, plan: LogPlan, reopen: Reopen) -> None:
        """From now on, until `unwatch`. Nothing is done for a log without a limit."""
        if not plan.keep or not plan.max_size:
            return
        self._inotify = self._inotify or inotify.Inotify()

        def look(_: int) -> None:
            if id in self._fresh:
                self._fresh[id].set()
            with contextlib.suppress(FileNotFoundError):
                if id not in self._busy and log.stat().st_size >= plan.max_size:
                    self._busy.add(id)
                    self._spawn(self._rotate(id, log, plan, reopen), f"rotate the log of {id[:12]}")

        # The folder, not the file: it is watched across rotations.
        self._watches[id] = self._inotify.watch(
            log.parent, inotify.IN_MODIFY | inotify.IN_CREATE | inotify.IN_MOVED_TO, look
        )
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
            fresh = self._fresh[id] = asyncio.Event()
            await reopen()
            if plan.compress:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_REOPENED):
                        while not log.exists():
                            fresh.clear()
                            await fresh.wait()
                if log.exists():
                    for number in range(1, plan.files):  # more than the first where a kill came between
                        await asyncio.to_thread(pack, rotated(log, number), packed(log, number))
        finally:
            self._fresh.pop(id, None)
            self._busy.discard(id)


def shift(log: Path, files: int) -> None:
    """log -> log.1 -> log.2 ...; of `files` in all the oldest goes. With one file the old text goes,
    once the monitor has let go of it. Packed files move along; of a file that is there in both forms
    (its packing was cut short) the plain one counts."""
    for number in range(files - 1, 0, -1):
        plain, small = rotated(log, number - 1), packed(log, number - 1)
        if plain.exists():
            plain.rename(rotated(log, number))
            packed(log, number).unlink(missing_ok=True)
            if number > 1:
                small.unlink(missing_ok=True)
        elif number > 1 and small.exists():
            small.rename(packed(log, number))
            rotated(log, number).unlink(missing_ok=True)
    if files == 1:
        log.unlink(missing_ok=True)
