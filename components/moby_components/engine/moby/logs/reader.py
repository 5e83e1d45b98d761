"""Reading a log: tail, since, until, across rotated files; following by inotify, without polling."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path

from moby_components.common import inotify
from moby_components.engine.moby.clock import ROUNDING, nanoseconds, now_ns
from moby_components.engine.moby.logs.cri import Parser
from moby_components.engine.moby.logs.files import LogFile, open_all, read_entries, seek_tail
from moby_py.model import LogLine, LogOptions


async def read_log(
    log: Path, options: LogOptions, *, on_end: Callable[[Callable[[], None]], None] | None = None
) -> AsyncIterator[LogLine]:
    """The lines of a log. `on_end`, given for a live container, takes a function to call when its run
    has ended: following stops then, after the last line. Without it the log is read once."""
    wake, ended = asyncio.Event(), asyncio.Event()
    following = options.follow and on_end is not None

    def end() -> None:
        ended.set()
        wake.set()

    with ExitStack() as stack:
        if following and on_end is not None:
            watch = stack.enter_context(inotify.Inotify())
            mask = inotify.IN_MODIFY | inotify.IN_MOVED_TO | inotify.IN_CREATE
            watch.watch(log.parent, mask, lambda _: wake.set())
            on_end(end)
        select = _Selection(options)
        files = await _from(log, options.tail)
        stack.callback(lambda: _close(files))
        while True:
            finished = ended.is_set() or not following
            wake.clear()
            while files:
                async for entries in _batches(files[0]):
                    for entry in entries:
                        line = select(entry)
                        if select.over:
                            return
                        if line is not None:
                            yield line
                if len(files) > 1:
                    files.pop(0).close()
                    continue
                # The monitor closes the old file before the new one appears: once there is a newer
                # one, the old one is whole, and is read a last time before it is left.
                newer = open_all(log, newer_than=files[0])
                if not newer:
                    break
                files.extend(newer)
            else:
                files.extend(open_all(log))
                if files:
                    continue
            if finished or not await _wait(wake, options.until):
                return


class _Selection:
    """Which lines the client wants."""

    def __init__(self, options: LogOptions) -> None:
        self._parser = Parser()
        self._streams = {1} if not options.stderr else {1, 2} if options.stdout else {2}
        if not options.stdout and not options.stderr:
            self._streams = set()
        self._since = max(0, int(options.since * 1e9) - ROUNDING)
        self._until = int(options.until * 1e9) + ROUNDING if options.until else 0
        self.over = False
        """The next line is later than `until`."""

    def __call__(self, entry: bytes) -> LogLine | None:
        line = self._parser.parse(entry)
        if line is None or not (self._since or self._until):
            return line if line is not None and line.stream in self._streams else None
        at = nanoseconds(line.time)
        if self._until and at > self._until:
            self.over = True
        return line if at >= self._since and not self.over and line.stream in self._streams else None


async def _from(log: Path, tail: int) -> list[LogFile]:
    """The files with the last `tail` lines, each set to its place. Packed ones take a while to be
    looked into: not on the loop, and only as far back as it takes."""
    files = open_all(log)
    if tail < 0:
        return files
    try:
        if any(file.packed for file in files):
            return await asyncio.to_thread(seek_tail, files, tail)
        return seek_tail(files, tail)
    except BaseException:
        _close(files)
        raise


async def _batches(file: LogFile) -> AsyncIterator[list[bytes]]:
    """What is in a file now, with a rest for others after each batch."""
    if file.packed:
        await asyncio.to_thread(getattr, file, "fd")
    for entries in read_entries(file):
        yield entries
        await asyncio.sleep(0)


def _close(files: list[LogFile]) -> None:
    for file in files:
        file.close()


async def _wait(wake: asyncio.Event, until: float) -> bool:
    """False once `until` has passed."""
    try:
        async with asyncio.timeout(until - now_ns() / 1e9 if until else None):
            await wake.wait()
    except TimeoutError:
        return False
    return True
