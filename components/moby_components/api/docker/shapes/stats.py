"""GET /containers/{id}/stats: what the CLI's percentages are computed from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from moby_components.api.docker.times import ZERO
from moby_py.model import BlockIO, InterfaceStats, Stats

_JIFFY = 10**9 // os.sysconf("SC_CLK_TCK")


def system_cpu() -> int:
    """Nanoseconds all CPUs of the host have spent, idle included (first line of /proc/stat: user,
    nice, system, idle, iowait, irq, softirq, steal; guest time is part of user)."""
    with Path("/proc/stat").open(encoding="ascii") as file:
        fields = file.readline().split()[1:9]
    return sum(int(field) for field in fields) * _JIFFY


def online_cpus() -> int:
    return os.cpu_count() or 1


def cpu(stats: Stats, system: int) -> dict[str, Any]:
    usage: dict[str, Any] = {
        "total_usage": stats.cpu_total,
        "usage_in_kernelmode": stats.cpu_system,
        "usage_in_usermode": stats.cpu_user,
    }
    if stats.cpu_per_core:
        usage["percpu_usage"] = list(stats.cpu_per_core)
    return {
        "cpu_usage": usage,
        "system_cpu_usage": system,
        "online_cpus": online_cpus(),
        "throttling_data": {
            "periods": stats.periods,
            "throttled_periods": stats.throttled_periods,
            "throttled_time": stats.throttled_time,
        },
    }


EMPTY_CPU: Mapping[str, Any] = {
    "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
    "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
}


def sample(
    stats: Stats,
    *,
    id: str,
    name: str,
    read: str,
    system: int,
    before: tuple[str, Mapping[str, Any]] | None,
) -> dict[str, Any]:
    """One sample. `before`: (its time, its cpu_stats) of the sample before."""
    memory: dict[str, Any] = {}
    if stats.memory_usage or stats.memory_limit:
        memory = {"usage": stats.memory_usage, "stats": dict(stats.memory), "limit": stats.memory_limit}
        if stats.memory_max:
            memory["max_usage"] = stats.memory_max
        if stats.memory_failures:
            memory["failcnt"] = stats.memory_failures
    pids: dict[str, int] = {}
    if stats.pids:
        pids = {"current": stats.pids, "limit": stats.pids_limit}
    return {
        "read": read,
        "preread": before[0] if before else ZERO,
        "pids_stats": pids,
        "blkio_stats": {
            "io_service_bytes_recursive": _io(stats.io_bytes),
            "io_serviced_recursive": _io(stats.io_operations),
            "io_queue_recursive": None,
            "io_service_time_recursive": None,
            "io_wait_time_recursive": None,
            "io_merged_recursive": None,
            "io_time_recursive": None,
            "sectors_recursive": None,
        },
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": cpu(stats, system),
        "precpu_stats": before[1] if before else EMPTY_CPU,
        "memory_stats": memory,
        "name": "/" + name,
        "id": id,
        **_networks(stats.networks),
    }


def _networks(found: Mapping[str, InterfaceStats]) -> dict[str, Any]:
    """Docker's NetworkStats by interface; left out, as Docker does, where there is none."""
    return {"networks": {name: asdict(seen) for name, seen in found.items()}} if found else {}


def _io(entries: Sequence[BlockIO]) -> list[dict[str, Any]] | None:
    found = [
        {"major": entry.major, "minor": entry.minor, "op": entry.op, "value": entry.value}
        for entry in entries
    ]
    return found or None
