"""Limits: Docker's words and units to the runtime spec's, minus what this host's cgroups cannot."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from moby_components.common.ocispec.host import HostFacts
from moby_py.errors import InvalidArgument
from moby_py.model import Resources, ThrottleDevice

PERIOD = 100_000
"""Microseconds; the kernel's default, and what --cpus is counted in."""

_SECTIONS = {
    "memory": "memory",
    "cpu": "cpu",
    "cpuset": "cpu",
    "pids": "pids",
    "blkio": "blockIO",
    "hugetlb": "hugepageLimits",
}


def build_resources(limits: Resources, host: HostFacts, warn: Callable[[str], None]) -> dict[str, Any]:
    """Spec: linux.resources, without `devices`. Raises `InvalidArgument` for contradictions."""
    v2 = host.cgroups.mode == "v2"
    wanted: list[tuple[str, Any]] = [
        ("memory", _memory(limits, host, warn, v2=v2)),
        ("cpu", _cpu(limits)),
        ("cpuset", _cpuset(limits)),
        ("pids", {"limit": limits.pids_limit} if limits.pids_limit > 0 else {}),
        ("blkio", _block_io(limits, host, warn, v2=v2)),
        ("hugetlb", [{"pageSize": s, "limit": n} for s, n in sorted(limits.hugetlb.items())]),
    ]
    built: dict[str, Any] = {}
    for controller, section in wanted:
        if not section:
            continue
        if controller not in host.controllers:
            warn(f"left out a limit - this host has no {controller} cgroup controller for us")
        elif isinstance(section, dict):
            built.setdefault(_SECTIONS[controller], {}).update(section)
        else:
            built[_SECTIONS[controller]] = section
    if limits.unified:
        if v2 and host.controllers:
            built["unified"] = dict(limits.unified)
        else:
            warn("left out unified limits - this host has no cgroup v2 for us")
    return built


def _memory(limits: Resources, host: HostFacts, warn: Callable[[str], None], *, v2: bool) -> dict[str, Any]:
    built: dict[str, Any] = {}
    if limits.memory:
        built["limit"] = limits.memory
    if limits.memory_reservation:
        built["reservation"] = limits.memory_reservation
    swap = limits.memory_swap or (2 * limits.memory if limits.memory > 0 else 0)
    if limits.memory > 0 and 0 < swap < limits.memory:
        raise InvalidArgument(
            f"invalid memory swap {swap} - memory plus swap must not be below memory, {limits.memory}"
        )
    if limits.memory_swap > 0 and not limits.memory:
        raise InvalidArgument("invalid memory swap - it needs a memory limit with it")
    if swap and host.swap_accounting:
        built["swap"] = swap
    elif limits.memory_swap > 0:
        warn("left out the swap limit - this kernel does not account swap")
    if limits.memory_swappiness is not None and limits.memory_swappiness >= 0:
        if v2:
            warn("left out memory swappiness - cgroup v2 has none")
        else:
            built["swappiness"] = limits.memory_swappiness
    if limits.oom_kill_disable:
        if v2:
            warn("left out oom-kill-disable - cgroup v2 has none")
        else:
            built["disableOOMKiller"] = True
    return built


def _cpu(limits: Resources) -> dict[str, Any]:
    if limits.nano_cpus and (limits.cpu_quota or limits.cpu_period):
        raise InvalidArgument("conflicting options - cpus and a cpu quota or period cannot both be set")
    built: dict[str, Any] = {}
    if limits.cpu_shares:
        built["shares"] = limits.cpu_shares
    if limits.nano_cpus:
        built["period"] = PERIOD
        built["quota"] = limits.nano_cpus * PERIOD // 1_000_000_000
    if limits.cpu_period:
        built["period"] = limits.cpu_period
    if limits.cpu_quota:
        built["quota"] = limits.cpu_quota
    return built


def _cpuset(limits: Resources) -> dict[str, Any]:
    named = (("cpus", limits.cpuset_cpus), ("mems", limits.cpuset_mems))
    return {key: value for key, value in named if value}


def _block_io(limits: Resources, host: HostFacts, warn: Callable[[str], None], *, v2: bool) -> dict[str, Any]:
    built: dict[str, Any] = {}
    if limits.blkio_weight:
        top = host.cgroups.mounts.get("blkio")
        names = ("blkio.weight", "blkio.bfq.weight")
        if not v2 and top is not None and not any((top / name).exists() for name in names):
            warn("left out the block io weight - this kernel has no weights")
        else:
            built["weight"] = limits.blkio_weight
    for key, table in (
        ("throttleReadBpsDevice", limits.read_bps),
        ("throttleWriteBpsDevice", limits.write_bps),
        ("throttleReadIOPSDevice", limits.read_iops),
        ("throttleWriteIOPSDevice", limits.write_iops),
    ):
        if table:
            built[key] = _throttles(table)
    return built


def _throttles(table: Sequence[ThrottleDevice]) -> list[dict[str, int]]:
    built = []
    for entry in table:
        try:
            seen = Path(entry.path).stat()
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise InvalidArgument(f"cannot limit device {entry.path!r} - {why}") from error
        if not stat.S_ISBLK(seen.st_mode):
            raise InvalidArgument(f"cannot limit device {entry.path!r} - it is no block device")
        number = seen.st_rdev
        built.append({"major": os.major(number), "minor": os.minor(number), "rate": entry.rate})
    return built
