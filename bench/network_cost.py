"""Processor time spent on a piece of work: what other programs of a busy machine do not distort."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterable
from pathlib import Path

_TICK = 1 / os.sysconf("SC_CLK_TCK")


def of_children() -> float:
    """Seconds of all children of this process that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def of_processes(pids: Iterable[int]) -> float:
    """Seconds of living processes, in the kernel's ticks of (mostly) 10 ms."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total * _TICK


def of_group(pid: int) -> float:
    """Seconds of the control group that a process is in (a container's)."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        usage = Path("/sys/fs/cgroup/cpuacct" + path, "cpuacct.usage")
        if "cpuacct" in controllers.split(",") and usage.exists():
            return int(usage.read_text()) / 1e9
        stat = Path("/sys/fs/cgroup" + path, "cpu.stat")
        if not controllers and stat.exists():
            return int(stat.read_text().split()[1]) / 1e6
    raise SystemExit(f"no processor accounting for process {pid}")
