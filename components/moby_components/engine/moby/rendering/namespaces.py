"""Namespaces as HostConfig's modes say: one's own, the host's, or another container's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from moby_py.errors import InvalidArgument

_KEYS = {
    "pid": ("PidMode", "PID", ("private", "host")),
    "ipc": ("IpcMode", "IPC", ("none", "private", "shareable", "host")),
    "uts": ("UTSMode", "UTS", ("host",)),
    "user": ("UsernsMode", "user namespace", ("host", "private")),
    "cgroup": ("CgroupnsMode", "cgroup namespace", ("private", "host")),
}
_JOINABLE = ("pid", "ipc")


@dataclass(frozen=True, slots=True)
class Namespaces:
    """`own`: "private" or "host" for each kind that is not the default; `join`: kind -> container ref;
    `shm`: where /dev/shm comes from - "private", "shareable", "host", "none" or "container"."""

    own: Mapping[str, str] = field(default_factory=dict)
    join: Mapping[str, str] = field(default_factory=dict)
    shm: str = "private"


def namespaces(body: Mapping[str, Any]) -> Namespaces:
    """Raises InvalidArgument `invalid PID mode: x`."""
    host = body.get("HostConfig") or {}
    own: dict[str, str] = {}
    join: dict[str, str] = {}
    shm = "private"
    for kind, (key, word, modes) in _KEYS.items():
        mode = str(host.get(key) or "")
        if kind in _JOINABLE and mode.startswith("container:"):
            join[kind] = mode.removeprefix("container:")
            if not join[kind]:
                raise InvalidArgument(f"invalid {word} mode: {mode}")
            shm = "container" if kind == "ipc" else shm
            continue
        if mode and mode not in modes:
            raise InvalidArgument(f"invalid {word} mode: {mode}")
        if kind == "ipc":
            shm = mode or "private"
            mode = "host" if mode == "host" else ""
        if kind == "cgroup" and not mode:
            mode = "private" if unified_cgroups() else "host"
        if mode:
            own[kind] = mode
    if own.get("uts") == "host" and body.get("Hostname"):
        raise InvalidArgument("conflicting options: hostname and the UTS mode")
    return Namespaces(own=own, join=join, shm=shm)


@cache
def unified_cgroups() -> bool:
    """Whether this host is cgroup v2 alone."""
    return Path("/sys/fs/cgroup/cgroup.controllers").exists()


def own_id_mappings() -> tuple[tuple[tuple[int, int, int], ...], tuple[tuple[int, int, int], ...]]:
    """The identity over all ids that the daemon's own user namespace has: files keep their owners,
    and the capabilities of such a container hold only in its own namespace."""
    return _identity("uid_map"), _identity("gid_map")


def _identity(name: str) -> tuple[tuple[int, int, int], ...]:
    rows = (line.split() for line in Path("/proc/self", name).read_text().splitlines())
    return tuple((int(inside), int(inside), int(size)) for inside, _, size in rows)
