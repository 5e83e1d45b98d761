"""Notes that a full disk refused: kept in memory, and written as soon as there is room again.

A container ends, is stopped or removed whether or not that can be written down. Removing things is
how a user makes room, so it must not need any. Starting and creating do need it, and fail clearly.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable

AGAIN = 2.0
"""Seconds between attempts: a file system tells nobody that it has room again."""


class Unsaved:
    """`do` never raises for a full or failing disk. One note per key: a newer one replaces an older."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._waiting: dict[str, Callable[[], None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def do(self, key: str, write: Callable[[], None]) -> None:
        """Write now, else later."""
        try:
            write()
        except sqlite3.OperationalError as error:
            if not self._waiting:
                self._log.warning("cannot write down what happens to containers for now - %s", error)
            self._waiting[key] = write
            self._wait()
        else:
            self._waiting.pop(key, None)

    def flush(self) -> None:
        """Try all that wait, in their order."""
        for key, write in list(self._waiting.items()):
            try:
                write()
            except sqlite3.OperationalError:
                return
            del self._waiting[key]
        self._log.info("what happened to containers is written down again")

    def close(self) -> None:
        """A last attempt."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            self.flush()

    def _wait(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(AGAIN, self._again)

    def _again(self) -> None:
        self._timer = None
        if self._waiting:
            self.flush()
        if self._waiting:
            self._wait()
