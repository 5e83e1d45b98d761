"""Limits: HostConfig's resource half, checked as Docker checks it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from moby_py.errors import InvalidArgument
from moby_py.model import Resources, ThrottleDevice

LEAST_MEMORY = 6 << 20
_CPUS = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")
_DEVICE_RULE = re.compile(r"[acb] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}")
_COUNTS = {
    "memory": "Memory",
    "memory_reservation": "MemoryReservation",
    "memory_swap": "MemorySwap",
    "nano_cpus": "NanoCpus",
    "cpu_shares": "CpuShares",
    "cpu_period": "CpuPeriod",
    "cpu_quota": "CpuQuota",
    "pids_limit": "PidsLimit",
    "blkio_weight": "BlkioWeight",
}
_THROTTLES = {
    "read_bps": "BlkioDeviceReadBps",
    "write_bps": "BlkioDeviceWriteBps",
    "read_iops": "BlkioDeviceReadIOps",
    "write_iops": "BlkioDeviceWriteIOps",
}


def resources(host: Mapping[str, Any]) -> Resources:
    """Raises InvalidArgument in Docker's words."""
    count: dict[str, Any] = {name: _number(host, key) for name, key in _COUNTS.items()}
    _check_memory(count, host)
    _check_cpu(count, host)
    if count["blkio_weight"] and not 10 <= count["blkio_weight"] <= 1000:
        raise InvalidArgument("Range of blkio weight is from 10 to 1000")
    count["pids_limit"] = max(count["pids_limit"], 0)  # -1: no limit
    rules = tuple(host.get("DeviceCgroupRules") or ())
    for rule in rules:
        if not _DEVICE_RULE.fullmatch(rule):
            raise InvalidArgument(f"invalid device cgroup rule format: '{rule}'")
    count.update({name: _throttle(host, key) for name, key in _THROTTLES.items()})
    swappiness = host.get("MemorySwappiness")
    return Resources(
        **count,
        memory_swappiness=None if swappiness in (None, -1) else swappiness,
        oom_kill_disable=bool(host.get("OomKillDisable")),
        cpuset_cpus=host.get("CpusetCpus") or "",
        cpuset_mems=host.get("CpusetMems") or "",
        device_cgroup_rules=rules,
    )


def limited(found: Resources) -> bool:
    """Whether anything is asked for that only cgroups can give."""
    return found != Resources()


def check_cpus(found: Resources) -> None:
    """Not part of `resources`: a container made on a larger host still starts on this one."""
    count = os.cpu_count() or 1
    if found.nano_cpus > count * 1_000_000_000:
        raise InvalidArgument(
            f"Range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available"
        )


def _number(host: Mapping[str, Any], key: str) -> int:
    value = host.get(key) or 0
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgument(f"invalid {key} - it must be a whole number")
    return value


def _check_memory(count: Mapping[str, int], host: Mapping[str, Any]) -> None:
    memory, swap, reservation = count["memory"], count["memory_swap"], count["memory_reservation"]
    if memory and memory < LEAST_MEMORY:
        raise InvalidArgument("Minimum memory limit allowed is 6MB")
    if swap > 0 and not memory:
        raise InvalidArgument("You should always set the Memory limit when using Memoryswap limit, see usage")
    if memory and 0 < swap < memory:
        raise InvalidArgument("Minimum memoryswap limit should be larger than memory limit, see usage")
    if memory and reservation > memory:
        raise InvalidArgument("Minimum memory limit can not be less than memory reservation limit, see usage")
    swappiness = host.get("MemorySwappiness")
    if swappiness is not None and not -1 <= swappiness <= 100:
        raise InvalidArgument(f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")
    if host.get("OomKillDisable") and not memory:
        raise InvalidArgument("disabling the OOM killer needs a memory limit - the host could lock up")


def _check_cpu(count: Mapping[str, int], host: Mapping[str, Any]) -> None:
    if count["nano_cpus"] and (count["cpu_period"] or count["cpu_quota"]):
        which = "Period" if count["cpu_period"] else "Quota"
        raise InvalidArgument(f"Conflicting options: Nano CPUs and CPU {which} cannot both be set")
    if count["nano_cpus"] < 0:
        raise InvalidArgument("Range of CPUs is from 0.01 - there are no negative CPUs")
    if count["cpu_period"] and not 1000 <= count["cpu_period"] <= 1_000_000:
        raise InvalidArgument(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if 0 < count["cpu_quota"] < 1000:
        raise InvalidArgument("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if count["cpu_shares"] < 0:
        raise InvalidArgument("Range of CPU shares is from 2 - it cannot be negative")
    for key, word in (("CpusetCpus", "cpus"), ("CpusetMems", "mems")):
        if host.get(key) and not _CPUS.fullmatch(host[key]):
            raise InvalidArgument(f"Invalid value {host[key]} for cpuset {word}")


def _throttle(host: Mapping[str, Any], key: str) -> tuple[ThrottleDevice, ...]:
    return tuple(ThrottleDevice(path=d.get("Path", ""), rate=d.get("Rate", 0)) for d in host.get(key) or ())
