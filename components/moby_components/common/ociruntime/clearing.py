"""Leave nothing behind: processes, cgroups, the runtime's state, the directory. All idempotent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from moby_components.common import cgroups
from moby_components.common.monitor import Identity, Task, TaskDir
from moby_components.common.monitor.scan import scan_execs
from moby_components.common.monitor.task import gone
from moby_components.common.ociruntime.cli import Cli
from moby_py.errors import RuntimeFailed

PATIENCE = 10.0
"""Seconds that killed processes and their monitors have to be gone."""


async def end(where: TaskDir, groups: Mapping[str, Path]) -> None:
    """Kill everything of one container and wait until it, and what watched it, is gone.

    `groups` are its cgroups where they are known. Raises `RuntimeFailed` when something stays.
    """
    if where.read() is None:
        # Half-made: stop the makers first, or they go on making what is being taken down.
        makers = list(makers_of(where.path))
        for who in makers:
            who.kill(signal.SIGKILL)
        await _all_gone(makers, "its makers do not die")
    doomed = _processes(where, groups)
    for who in doomed:
        who.kill(signal.SIGKILL)
    await _all_gone(doomed, "its processes do not die")
    monitors = list(_monitors(where))
    try:
        await _all_gone(monitors, "")
    except RuntimeFailed:
        for who in monitors:  # stuck, or it holds the pipe of a process outside of the cgroup
            who.kill(signal.SIGKILL)
        await _all_gone(monitors, "its monitor does not die")


async def erase(where: TaskDir, cli: Cli, groups: Mapping[str, Path], more: Sequence[str] = ()) -> None:
    """After `end`: remove the runtime's state, the cgroups and the directory."""
    await cli.delete(where.name, where.path / "runtime.log", more)
    if groups:
        for path in cgroups.remove(groups):
            await _removed(path)
    if where.path.exists():
        shutil.rmtree(where.path)


def makers_of(path: Path) -> Iterable[Identity]:
    """Monitors and runtimes at work in a directory, by their command lines (-b PATH, --bundle PATH)."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if os.fsencode(path) in words and (b"-b" in words or b"--bundle" in words):
                who = Identity.of(int(entry.name))
                if who:
                    yield who


def _processes(where: TaskDir, groups: Mapping[str, Path]) -> list[Identity]:
    found = [Identity.of(pid) for pid in cgroups.kill_all(groups)] if groups else []
    record = Task.adopt(where)
    found.append(record.process if record else where.identities()[1])
    return [who for who in dict.fromkeys(found) if who is not None and who.runs() and who.pid > 1]


def _monitors(where: TaskDir) -> Iterable[Identity]:
    record = Task.adopt(where)
    monitor = record.monitor if record else None
    if monitor is not None:
        yield monitor
    for exec_id, task in scan_execs(where):
        if task is None:
            yield from makers_of(where.exec(exec_id).path)
        elif task.monitor is not None:
            yield task.monitor


async def _all_gone(who: Sequence[Identity], otherwise: str) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            for one in who:
                await gone(one)
    except TimeoutError as error:
        raise RuntimeFailed(f"cannot delete the container - {otherwise or 'it does not end'}") from error


async def _removed(path: Path) -> None:
    """A cgroup stays busy for a moment after its last process has ended; nothing tells when."""
    for _ in range(200):
        try:
            path.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            await asyncio.sleep(0.01)
        else:
            return
    raise RuntimeFailed(f"cannot delete the container - its cgroup {path} stays busy")
