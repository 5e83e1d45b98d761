"""Limits, in Docker's words and units. None and 0 mean "no limit of our own"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottleDevice:
    """`path` of a block device; `rate` in bytes or operations per second."""

    path: str
    rate: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """The resource half of Docker's HostConfig (Engine API, `Resources`). Sizes in bytes."""

    memory: int = 0
    memory_reservation: int = 0
    memory_swap: int = 0
    """Memory plus swap; -1 unlimited swap, 0 unset (twice the memory on v1, as Docker)."""
    memory_swappiness: int | None = None
    oom_kill_disable: bool = False
    nano_cpus: int = 0
    cpu_shares: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_limit: int = 0
    blkio_weight: int = 0
    read_bps: tuple[ThrottleDevice, ...] = ()
    write_bps: tuple[ThrottleDevice, ...] = ()
    read_iops: tuple[ThrottleDevice, ...] = ()
    write_iops: tuple[ThrottleDevice, ...] = ()
    hugetlb: Mapping[str, int] = field(default_factory=dict)
    """Page size ("2MB") -> bytes."""
    device_cgroup_rules: tuple[str, ...] = ()
    """Docker's --device-cgroup-rule: "c 42:* rmw"."""
    unified: Mapping[str, str] = field(default_factory=dict)
    """cgroup v2 files by name."""
