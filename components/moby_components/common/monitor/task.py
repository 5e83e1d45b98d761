"""One monitored process, from the daemon's side: its state, its end, its terminal, its log."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import time
from collections.abc import Mapping
from typing import Any

from moby_components.common.monitor.identity import Identity
from moby_components.common.monitor.layout import TaskDir, read_number
from moby_components.common.monitor.streams import AttachStreams, connect
from moby_py.model import ExitStatus

LARGEST_TERMINAL = 1000
"""conmon refuses a larger window in either direction."""

LOST = 255
"""The exit code of a process whose monitor was killed: nobody knows the real one."""


class Task:
    """A container's first process, or an exec's. Made by `adopt`; `close` frees its pidfd.

    Bound to no event loop until something waits.
    """

    def __init__(self, directory: TaskDir, record: Mapping[str, Any]) -> None:
        self.dir = directory
        self.record = record
        self.stdin = bool(record.get("stdin"))
        self.tty = bool(record.get("tty"))
        self.monitor = _identity(record.get("monitor"))
        self.process = _identity(record.get("process"))
        self._exit: ExitStatus | None = None
        self._end: asyncio.Task[ExitStatus] | None = None

    @classmethod
    def adopt(cls, directory: TaskDir) -> Task | None:
        """The task of a committed directory, alive or ended; None when it is half-made."""
        record = directory.read()
        return None if record is None else cls(directory, record)

    @property
    def pid(self) -> int:
        """Host pid of the process, 0 when it has ended."""
        return self.process.pid if self.process and self.exit() is None else 0

    def exit(self) -> ExitStatus | None:
        """How it ended; None while its monitor, or the process itself, is alive."""
        if self._exit is None and not (self.monitor and self.monitor.runs()):
            self._exit = self._read_exit()
        return self._exit

    async def wait(self) -> ExitStatus:
        """Return when the monitor has ended. Any number of callers, any number of times."""
        status = self.exit()
        if status is not None:
            return status
        if self._end is None or self._end.cancelled():
            self._end = asyncio.create_task(self._watch())
        # Shielded: one waiter that gives up must not end the wait of the others.
        return await asyncio.shield(self._end)

    async def close(self) -> None:
        """Stop watching. The process goes on; waiters are cancelled. Idempotent."""
        watcher, self._end = self._end, None
        if watcher is not None and not watcher.done():
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher

    def kill_session(self, signal: int) -> None:
        """Signal the process, and first its process group where it leads one. Nothing after its end."""
        if self.process and self.process.runs():
            with contextlib.suppress(ProcessLookupError):
                if os.getpgid(self.process.pid) == self.process.pid:
                    os.killpg(self.process.pid, signal)
            self.process.kill(signal)

    async def attach(self) -> AttachStreams:
        """A new connection to the monitor. Raises `Conflict` when it has ended."""
        return await connect(self.dir.path, stdin=self.stdin)

    def resize(self, height: int, width: int) -> None:
        """Set the terminal's size; nothing without a terminal or after the end."""
        if self.tty:
            self._control(1, *(min(max(size, 0), LARGEST_TERMINAL) for size in (height, width)))

    def reopen_log(self) -> None:
        """Have the monitor open its log by name again; nothing after the end."""
        self._control(2, 0, 0)

    def _control(self, kind: int, first: int, second: int) -> None:
        try:
            fd = os.open(self.dir.ctl, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENXIO):  # no fifo, or nobody reads it any more
                return
            raise
        try:
            os.write(fd, b"%d %d %d\n" % (kind, first, second))  # < PIPE_BUF: written whole
        except BrokenPipeError:
            pass
        finally:
            os.close(fd)

    async def _watch(self) -> ExitStatus:
        if self.monitor:
            await gone(self.monitor)
        status = self._read_exit()
        if status is None and self.process:
            # The monitor was killed from outside: the process may go on without it.
            await gone(self.process)
            status = self._read_exit()
        assert status is not None  # noqa: S101 - both are gone: _read_exit answers
        self._exit = status
        return status

    def _read_exit(self) -> ExitStatus | None:
        code = read_number(self.dir.exit_file)
        oom = self.dir.oom.exists()
        if code is not None:
            at = self.dir.exit_file.stat().st_mtime
            # conmon writes -1 when it never learned the status.
            return ExitStatus(code=code if 0 <= code <= LOST else LOST, at=at, oom_killed=oom)
        if self.process and self.process.runs():
            return None
        return ExitStatus(
            code=LOST, at=time.time(), oom_killed=oom, error="exit code unknown - its monitor was killed"
        )


async def gone(who: Identity) -> None:
    """Return once this very process has ended (zombies have). Waits on a pidfd."""
    fd = who.pidfd()
    if fd is None:
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(fd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)


def _identity(pair: Any) -> Identity | None:
    return Identity(int(pair[0]), int(pair[1])) if pair else None
