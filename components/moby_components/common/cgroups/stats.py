"""One container's counters, from whichever files this host has."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path

from moby_components.common.cgroups.layout import UNIFIED
from moby_py.model import BlockIO, Stats

_NANOSECONDS = 1_000_000_000


def read_stats(groups: Mapping[str, Path]) -> Stats:
    """Counters now; zeros for what is not mounted or already gone."""
    return _v1(groups) if groups.keys() - {UNIFIED} else _v2(groups.get(UNIFIED))


def _text(folder: Path | None, name: str) -> str:
    if folder is None:
        return ""
    try:
        return (folder / name).read_text()
    except OSError:
        return ""


def _number(folder: Path | None, name: str) -> int:
    """A single number; 0 for "max", for none, and for no such file."""
    text = _text(folder, name).strip()
    return int(text) if text.isdigit() else 0


def _pairs(folder: Path | None, name: str) -> dict[str, int]:
    split = (line.split() for line in _text(folder, name).splitlines())
    return {pair[0]: int(pair[1]) for pair in split if len(pair) == 2 and pair[1].isdigit()}


@functools.cache
def _host_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _limit(number: int) -> int:
    """A limit above what the host has (v1 says "none" with 2**63 - 4096) is the host's memory."""
    return min(number, _host_memory()) if number else _host_memory()


def _v1(groups: Mapping[str, Path]) -> Stats:
    account, cpu = groups.get("cpuacct"), _pairs(groups.get("cpu"), "cpu.stat")
    memory, pids, blkio = groups.get("memory"), groups.get("pids"), groups.get("blkio")
    ticks = _pairs(account, "cpuacct.stat")
    tick = _NANOSECONDS // os.sysconf("SC_CLK_TCK")
    return Stats(
        cpu_total=_number(account, "cpuacct.usage"),
        cpu_user=ticks.get("user", 0) * tick,
        cpu_system=ticks.get("system", 0) * tick,
        cpu_per_core=tuple(int(core) for core in _text(account, "cpuacct.usage_percpu").split()),
        periods=cpu.get("nr_periods", 0),
        throttled_periods=cpu.get("nr_throttled", 0),
        throttled_time=cpu.get("throttled_time", 0),
        memory_usage=_number(memory, "memory.usage_in_bytes"),
        memory_max=_number(memory, "memory.max_usage_in_bytes"),
        memory_limit=_limit(_number(memory, "memory.limit_in_bytes")),
        memory_failures=_number(memory, "memory.failcnt"),
        memory=_pairs(memory, "memory.stat"),
        pids=_number(pids, "pids.current"),
        pids_limit=_number(pids, "pids.max"),
        io_bytes=_counted(blkio, "io_service_bytes_recursive"),
        io_operations=_counted(blkio, "io_serviced_recursive"),
    )


def _counted(folder: Path | None, name: str) -> tuple[BlockIO, ...]:
    """By the I/O scheduler where that is BFQ (it counts all), else by the throttling code, which since
    Linux 6.10 counts only on devices that somebody has set a limit for. runc's order."""
    for policy in ("bfq", "throttle"):
        rows = _blkio(_text(folder, f"blkio.{policy}.{name}"))
        if rows:
            return rows
    return ()


def _blkio(text: str) -> tuple[BlockIO, ...]:
    """Lines "8:0 Read 4096"; the last one, "Total N", counts nothing new."""
    rows = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 3:
            major, _, minor = fields[0].partition(":")
            rows.append(BlockIO(major=int(major), minor=int(minor), op=fields[1], value=int(fields[2])))
    return tuple(rows)


def _v2(folder: Path | None) -> Stats:
    cpu, events = _pairs(folder, "cpu.stat"), _pairs(folder, "memory.events")
    size: list[BlockIO] = []
    count: list[BlockIO] = []
    for line in _text(folder, "io.stat").splitlines():
        device, *fields = line.split()
        major, _, minor = device.partition(":")
        values = dict(field.split("=", 1) for field in fields if "=" in field)
        for rows, read, write in ((size, "rbytes", "wbytes"), (count, "rios", "wios")):
            for op, key in (("Read", read), ("Write", write)):
                value = int(values.get(key, 0))
                rows.append(BlockIO(major=int(major), minor=int(minor), op=op, value=value))
    return Stats(
        cpu_total=cpu.get("usage_usec", 0) * 1000,
        cpu_user=cpu.get("user_usec", 0) * 1000,
        cpu_system=cpu.get("system_usec", 0) * 1000,
        periods=cpu.get("nr_periods", 0),
        throttled_periods=cpu.get("nr_throttled", 0),
        throttled_time=cpu.get("throttled_usec", 0) * 1000,
        memory_usage=_number(folder, "memory.current"),
        memory_max=_number(folder, "memory.peak"),
        memory_limit=_limit(_number(folder, "memory.max")),
        memory_failures=events.get("max", 0),
        memory=_pairs(folder, "memory.stat"),
        pids=_number(folder, "pids.current"),
        pids_limit=_number(folder, "pids.max"),
        io_bytes=tuple(size),
        io_operations=tuple(count),
    )
