"""What the host can do, found out once per daemon."""

from __future__ import annotations

import os
import platform
import re
import resource
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from moby_components.common.cgroups.layout import UNIFIED, Hierarchies

_NAMES = """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP
    LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER
    SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE
    SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP
    MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF
    CHECKPOINT_RESTORE
"""

CAPABILITIES = tuple(f"CAP_{name}" for name in _NAMES.split())
"""By number (capabilities(7))."""

_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "armv6l": "arm",
    "i686": "x86",
    "i386": "x86",
}

_LIMITS = """
    as core cpu data fsize memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack
"""

RLIMITS = {
    name: int(getattr(resource, f"RLIMIT_{name.upper()}"))
    for name in _LIMITS.split()
    if hasattr(resource, f"RLIMIT_{name.upper()}")
}
"""Docker's ulimit names that this Python knows; "locks" is known to the kernel alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """`rlimits`: name -> hard limit of this daemon (-1 unlimited). `bounding`: what can be given away."""

    arch: str
    kernel: tuple[int, int]
    cgroups: Hierarchies
    controllers: frozenset[str]
    bounding: frozenset[str]
    can_raise_limits: bool
    rlimits: Mapping[str, int] = field(default_factory=dict)
    oom_score_adj: int = 0
    swap_accounting: bool = True
    seccomp: bool = True
    apparmor: bool = False
    selinux: bool = False
    cgroup_namespaces: bool = True
    rootless: bool = False
    gids: int = 2**32 - 1
    """How many group ids are mapped here: with one alone, /dev/pts cannot belong to tty (5)."""

    @classmethod
    def detect(cls, *, rootless: bool = False) -> HostFacts:
        status = dict(
            line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line
        )
        bounding = capability_names(int(status["CapBnd"], 16))
        cgroups = Hierarchies.detect()
        version = re.match(r"(\d+)\.(\d+)", platform.release())
        return cls(
            arch=_ARCHITECTURES.get(platform.machine(), platform.machine()),
            kernel=(int(version[1]), int(version[2])) if version else (0, 0),
            cgroups=cgroups,
            controllers=_usable(cgroups, rootless),
            bounding=bounding,
            # A user namespace's CAP_SYS_RESOURCE does not count: the kernel asks for the host's.
            can_raise_limits=not rootless
            and "CAP_SYS_RESOURCE" in capability_names(int(status["CapEff"], 16)),
            rlimits={name: resource.getrlimit(number)[1] for name, number in RLIMITS.items()},
            oom_score_adj=int(Path("/proc/self/oom_score_adj").read_text()),
            swap_accounting=_swap(cgroups),
            seccomp="Seccomp" in status,
            apparmor=_first("/sys/module/apparmor/parameters/enabled") == "Y"
            and Path("/sys/kernel/security/apparmor").exists(),
            selinux=Path("/sys/fs/selinux/enforce").exists(),
            cgroup_namespaces=Path("/proc/self/ns/cgroup").exists(),
            rootless=rootless,
            gids=sum(int(line.split()[2]) for line in Path("/proc/self/gid_map").read_text().splitlines()),
        )


def capability_names(mask: int) -> frozenset[str]:
    """The names of a mask; numbers that have no name yet are left out."""
    return frozenset(name for number, name in enumerate(CAPABILITIES) if mask >> number & 1)


def _usable(cgroups: Hierarchies, rootless: bool) -> frozenset[str]:
    """Controllers that we may use: all as root, the delegated ones without."""
    if not rootless:
        return cgroups.controllers()
    own = cgroups.of(os.getpid()).get(UNIFIED) if cgroups.mode == "v2" else None
    if own is None or not os.access(own / "cgroup.subtree_control", os.W_OK):
        return frozenset()
    return cgroups.controllers()


def _swap(cgroups: Hierarchies) -> bool:
    if "memory" in cgroups.mounts:
        return (cgroups.mounts["memory"] / "memory.memsw.limit_in_bytes").exists()
    try:
        own = cgroups.of(os.getpid()).get(UNIFIED)
    except ProcessLookupError:
        return True
    # The root cgroup has no memory.swap.max though its children do.
    return own is None or own == cgroups.mounts[UNIFIED] or (own / "memory.swap.max").exists()


def _first(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
