"""What is in a cgroup: its processes, whether it is frozen, how often it ran out of memory."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from moby_components.common.cgroups.layout import UNIFIED

_PREFERRED = ("pids", "memory", "freezer", "devices", "cpu", UNIFIED)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _main(groups: Mapping[str, Path]) -> Path | None:
    """The directory to ask for processes: they are the same in every hierarchy a runtime manages."""
    for name in _PREFERRED:
        if name in groups and groups[name].is_dir():
            return groups[name]
    return None


def processes(groups: Mapping[str, Path]) -> list[int]:
    """Host pids in the cgroup and below it, in the kernel's order; empty when it is gone."""
    top = _main(groups)
    if top is None:
        return []
    found: dict[int, None] = {}
    for folder, _, _ in os.walk(top):
        found.update((int(pid), None) for pid in _read(Path(folder, "cgroup.procs")).split())
    return list(found)


def frozen(groups: Mapping[str, Path]) -> bool:
    """Whether it is frozen, or about to be."""
    if "freezer" in groups:
        return _read(groups["freezer"] / "freezer.state").strip() in ("FROZEN", "FREEZING")
    return UNIFIED in groups and _read(groups[UNIFIED] / "cgroup.freeze").strip() == "1"


def thaw(groups: Mapping[str, Path]) -> None:
    """Let it run again; nothing when it is gone."""
    for name, file, word in (("freezer", "freezer.state", "THAWED"), (UNIFIED, "cgroup.freeze", "0")):
        if name in groups:
            with contextlib.suppress(OSError):
                (groups[name] / file).write_text(word)


def oom_kills(groups: Mapping[str, Path]) -> int:
    """How many processes the kernel killed in it for memory."""
    if "memory" in groups:
        text = _read(groups["memory"] / "memory.oom_control")
    else:
        text = _read(groups[UNIFIED] / "memory.events") if UNIFIED in groups else ""
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill ")), 0)


def kill_all(groups: Mapping[str, Path]) -> list[int]:
    """SIGKILL to everything in it, frozen or not. Returns the pids that were there.

    The caller waits for their end: a cgroup cannot be removed before.
    """
    kill_file = groups[UNIFIED] / "cgroup.kill" if UNIFIED in groups else None
    pids = processes(groups)
    if kill_file is not None and "pids" not in groups and kill_file.exists():
        with contextlib.suppress(OSError):
            kill_file.write_text("1")
    for pid in pids:
        if pid > 1:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    thaw(groups)
    return pids


def remove(groups: Mapping[str, Path]) -> list[Path]:
    """Remove the cgroup in every hierarchy, children first. Returns what could not be (still busy)."""
    busy = []
    for top in dict.fromkeys(groups.values()):
        for folder, _, _ in os.walk(top, topdown=False):
            try:
                Path(folder).rmdir()
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno not in (errno.EBUSY, errno.ENOTEMPTY, errno.EACCES, errno.EROFS, errno.EPERM):
                    raise
                busy.append(Path(folder))
    return busy
