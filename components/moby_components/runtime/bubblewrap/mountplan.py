"""The runtime specification's mounts and devices, as the monitor carries them out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from moby_components.common.cgroups import Hierarchies
from moby_components.common.ocispec.devices import node
from moby_py.errors import InvalidArgument
from moby_py.model import ContainerSpec

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_SYNCHRONOUS, MS_NOATIME, MS_NODIRATIME = (
    1,
    2,
    4,
    8,
    16,
    1024,
    2048,
)
_FLAGS = {
    "ro": MS_RDONLY,
    "nosuid": MS_NOSUID,
    "nodev": MS_NODEV,
    "noexec": MS_NOEXEC,
    "sync": MS_SYNCHRONOUS,
    "noatime": MS_NOATIME,
    "nodiratime": MS_NODIRATIME,
}
_ATTRIBUTES = {"ro": 1, "rro": 1, "nosuid": 2, "nodev": 4, "noexec": 8, "noatime": 0x10, "nodiratime": 0x80}
"""mount_setattr(2)'s; those of the first four are the same as mount(2)'s."""
_MS_REC = 16384
_PROPAGATIONS = {
    "private": 1 << 18, "rprivate": 1 << 18, "slave": 1 << 19, "rslave": 1 << 19, "shared": 1 << 20,
    "rshared": 1 << 20,
}  # fmt: skip
_NOTHING = frozenset(
    [
        "rw",
        "suid",
        "dev",
        "exec",
        "async",
        "relatime",
        "strictatime",
        "diratime",
        "atime",
        "bind",
        "rbind",
        "defaults",
        "norelatime",
        "consistent",
        "cached",
        "delegated",
        "nocopy",
        "copy",
        "z",
        "Z",
    ]
)
"""The kernel's defaults, and Docker's words for volumes that mean nothing on Linux binds."""
_BWRAP_MADE = {"/proc": "proc", "/dev": "tmpfs", "/dev/pts": "devpts"}


def plan_mounts(
    mounts: Iterable[Mapping[str, Any]], hierarchies: Hierarchies, *, rootless: bool, own_ipc: bool
) -> list[dict[str, Any]]:
    """What is left to mount once bwrap has made the root, /proc, /dev and /dev/pts, in order."""
    planned = []
    for mount in mounts:
        target, kind, options = mount["destination"], mount["type"], mount["options"]
        if _BWRAP_MADE.get(target) == kind or (target == "/proc" and mount["source"] == "/proc"):
            continue
        if rootless and (kind == "sysfs" or (kind == "mqueue" and not own_ipc)):
            # The kernel gives a user namespace a new sysfs only where it still sees the old one, and
            # the queues of its own ipc namespace only.
            host = "/sys" if kind == "sysfs" else "/dev/mqueue"
            if not os.path.ismount(host):
                continue
            kind, options, mount = "bind", ["rbind", *options], {**mount, "source": host}  # noqa: PLW2901
        if kind == "bind":
            planned.append(_bind(mount["source"], target, options))
        elif kind == "cgroup":
            flags, _ = _split(options, target)
            planned.append(_entry(kind, "cgroup", target, flags=flags, controllers=_controllers(hierarchies)))
        elif kind in ("tmpfs", "sysfs", "mqueue", "proc"):
            flags, data = _split(options, target)
            planned.append(_entry(kind, mount["source"], target, flags=flags, data=",".join(data)))
        else:
            raise InvalidArgument(f"cannot mount {target} - type {kind!r} is not supported by bubblewrap")
    return planned


def plan_devices(spec: ContainerSpec, nodes: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """(source, target) of each device node: a bind of the host's. `nodes`: linux.devices."""
    sources = {entry["path"]: entry["path"] for entry in nodes}
    for device in spec.devices:
        top = Path(device.source)
        if not top.is_dir():
            sources[device.target] = device.source
            continue
        for path in top.rglob("*"):
            target = f"{device.target.rstrip('/')}/{path.relative_to(top)}"
            if target in sources and not path.is_dir() and node(path, target):
                sources[target] = str(path)
    usual = {f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty", "ptmx")}
    return [{"source": s, "target": t} for t, s in sources.items() if t not in usual]


def _entry(kind: str, source: str, target: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "source": source,
        "target": target,
        "flags": 0,
        "data": "",
        "controllers": None,
        **more,
    }


def _bind(source: str, target: str, options: Iterable[str]) -> dict[str, Any]:
    options = list(options)
    attributes, propagation = 0, _PROPAGATIONS["private"]
    for option in options:
        if option in _ATTRIBUTES:
            attributes |= _ATTRIBUTES[option]
        elif option in _PROPAGATIONS:
            propagation = _PROPAGATIONS[option]
        elif option not in _NOTHING:
            raise InvalidArgument(f"cannot mount {source} on {target} - unknown option {option!r} for a bind")
    if not os.path.lexists(source):
        raise InvalidArgument(f"cannot mount {source} on {target} - no such file or directory")
    recursive = "bind" not in options
    return _entry("bind", source, target, set=attributes, propagation=propagation, recursive=recursive)


def _split(options: Iterable[str], target: str) -> tuple[int, list[str]]:
    """Flags, and what the file system itself understands (size=..., mode=...)."""
    flags, data = 0, []
    for option in options:
        if option in _FLAGS:
            flags |= _FLAGS[option]
        elif "=" in option:
            data.append(option)
        elif option not in _NOTHING and option not in _PROPAGATIONS:
            raise InvalidArgument(f"cannot mount {target} - unknown option {option!r}")
    return flags, data


def _controllers(hierarchies: Hierarchies) -> list[str] | None:
    if hierarchies.mode == "v2":
        return None
    return sorted(name for name in hierarchies.mounts if name and not name.startswith("name="))
