"""How this host's control groups are laid out: v1, hybrid or v2, and what is where."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

ROOT = "/sys/fs/cgroup"


@dataclass(frozen=True, slots=True)
class CgroupLayout:
    """`mode` "none" where no cgroup file system is mounted.

    v1:       controller -> mount point
    unified:  the mount point of the v2 hierarchy, "" where there is none
    v2:       controllers of the v2 hierarchy's root
    readonly: mount points that are mounted read-only (a container without its own cgroups)
    """

    mode: Literal["none", "v1", "hybrid", "v2"]
    v1: Mapping[str, str] = field(default_factory=dict)
    unified: str = ""
    v2: tuple[str, ...] = ()
    readonly: tuple[str, ...] = ()

    @property
    def controllers(self) -> tuple[str, ...]:
        return tuple(sorted({*self.v1, *self.v2}))


def read_layout(mountinfo: str = "/proc/self/mountinfo") -> CgroupLayout:
    """Read it from mountinfo (proc(5)); nothing is mounted or written."""
    v1: dict[str, str] = {}
    unified, readonly = "", []
    for line in Path(mountinfo).read_text(encoding="utf-8", errors="replace").splitlines():
        left, _, right = line.partition(" - ")
        fields, tail = left.split(), right.split()
        if len(fields) < 6 or len(tail) < 3 or tail[0] not in ("cgroup", "cgroup2"):
            continue
        point = fields[4]
        if "ro" in fields[5].split(",") or "ro" in tail[2].split(","):
            readonly.append(point)
        if tail[0] == "cgroup2":
            unified = unified or point
        else:
            for option in tail[2].split(","):
                if option in KNOWN:
                    v1.setdefault(option, point)
    if not v1 and not unified:
        return CgroupLayout("none")
    mode: Literal["v1", "hybrid", "v2"] = "v2" if not v1 else "hybrid" if unified else "v1"
    return CgroupLayout(mode, v1, unified, _controllers(unified), tuple(readonly))


KNOWN = frozenset(
    {
        *("blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "hugetlb", "memory"),
        *("misc", "net_cls", "net_prio", "perf_event", "pids", "rdma"),
    }
)
"""The controllers of cgroup v1; its other mount options (rw, xattr, name=systemd) are none."""


def writable(path: str) -> bool:
    return bool(path) and os.access(path, os.W_OK)


def own_v2_group(layout: CgroupLayout) -> str:
    """The directory of this process's group in the v2 hierarchy, "" without one."""
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        number, _, path = line.split(":", 2)
        if number == "0" and layout.unified:
            return layout.unified + path.rstrip("/")
    return ""


def _controllers(unified: str) -> tuple[str, ...]:
    if not unified:
        return ()
    try:
        text = (Path(unified) / "cgroup.controllers").read_text(encoding="ascii")
    except OSError:
        return ()
    return tuple(text.split())
