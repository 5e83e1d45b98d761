"""Capability sets: Docker's fourteen, CapAdd and CapDrop, and what this host can give at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from moby_py.errors import InvalidArgument

_ALL = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
    "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT "
    "SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE "
    "AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ "
    "PERFMON BPF CHECKPOINT_RESTORE"
)
KNOWN = tuple(f"CAP_{name}" for name in _ALL.split())
"""By number, as in capability.h."""

_FOURTEEN = (
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID "
    "SETPCAP SETUID SYS_CHROOT"
)
DEFAULT = tuple(f"CAP_{name}" for name in _FOURTEEN.split())


@cache
def everything() -> tuple[str, ...]:
    """What a privileged container gets: all that this daemon could itself hold, sorted."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            bits = int(line.split()[1], 16)
            return tuple(sorted(name for number, name in enumerate(KNOWN) if bits >> number & 1))
    return DEFAULT


def capability_set(host: Mapping[str, Any]) -> tuple[str, ...]:
    """The final set of HostConfig's Privileged, CapAdd and CapDrop, sorted (Docker's rules)."""
    add, drop = _names(host.get("CapAdd") or ()), _names(host.get("CapDrop") or ())
    if host.get("Privileged"):
        return everything()
    lacking = sorted(add - {"ALL"} - set(everything()))
    if lacking:
        raise InvalidArgument(
            f'capability not available on this host: "{lacking[0]}" - the daemon may not hold it itself',
            hint="leave it out, or give the daemon's own environment that capability",
        )
    if "ALL" in add:
        return tuple(sorted(set(everything()) - drop))
    if "ALL" in drop:
        return tuple(sorted(add))
    # A host may lack some of the defaults (a container in a container); those are not missed.
    return tuple(sorted((set(DEFAULT) & set(everything())) - drop | add))


def _names(words: Sequence[str]) -> set[str]:
    found = set()
    for word in words:
        name = word.upper()
        if name != "ALL":
            name = name if name.startswith("CAP_") else f"CAP_{name}"
            if name not in KNOWN:
                raise InvalidArgument(f'unknown capability: "{name}"')
        found.add(name)
    return found
