"""Out of memory, at the moment when it happens: an eventfd on cgroups v1, inotify on v2. No polling.

https://docs.kernel.org/admin-guide/cgroup-v1/memory.html (10. OOM Control)
https://docs.kernel.org/admin-guide/cgroup-v2.html (memory.events)
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from moby_components.common.cgroups.control import oom_kills
from moby_components.common.cgroups.layout import UNIFIED


async def out_of_memory(groups: Mapping[str, Path]) -> bool:
    """Return True when the cgroup next runs out of memory; False at once where no memory is counted, or
    once the cgroup is gone."""
    if "memory" in groups:
        return await _v1(groups["memory"])
    if UNIFIED in groups and (groups[UNIFIED] / "memory.events").exists():
        return await _v2(groups)
    return False


async def _v1(folder: Path) -> bool:
    """The kernel counts up the eventfd; also once when the cgroup is removed."""
    with contextlib.ExitStack() as stack:
        event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        stack.callback(os.close, event)
        try:
            control = os.open(folder / "memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, control)
            (folder / "cgroup.event_control").write_text(f"{event} {control}")
        except OSError:
            return False
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(event, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(event)
    return (folder / "cgroup.event_control").exists()


async def _v2(groups: Mapping[str, Path]) -> bool:
    """memory.events changes for other reasons too: its number of kills is what counts."""
    from moby_components.common import inotify

    file = groups[UNIFIED] / "memory.events"
    before = oom_kills(groups)
    changed = asyncio.Event()
    with inotify.Inotify() as watches:
        try:
            watches.watch(file, inotify.IN_MODIFY | inotify.IN_DELETE_SELF, lambda _: changed.set())
        except OSError:
            return False
        while file.exists():
            if oom_kills(groups) > before:
                return True
            await changed.wait()
            changed.clear()
    return False
