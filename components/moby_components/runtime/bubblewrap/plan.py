"""From the runtime specification's config (`common.ocispec` renders it, as for every OCI runtime) to
the plan that the monitor reads: plain JSON, no decisions left."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from moby_components.common.ocispec import HostFacts, Placement, build
from moby_components.common.ocispec.host import CAPABILITIES, RLIMITS
from moby_components.common.ocispec.namespaces import mode
from moby_components.common.ocispec.process import UNLIMITED
from moby_components.common.users import User
from moby_components.runtime.bubblewrap.mountplan import plan_devices, plan_mounts
from moby_components.runtime.bubblewrap.seccomp import compile_profile
from moby_py.errors import InvalidArgument, Unsupported
from moby_py.model import ContainerIO, ContainerSpec, RootFS, Sandbox

Warn = Callable[[str], None]


def render(
    spec: ContainerSpec,
    rootfs: RootFS,
    sandbox: Sandbox,
    user: User,
    host: HostFacts,
    parent: str,
    warn: Warn,
) -> dict[str, Any]:
    """config.json of the runtime specification. --init is the monitor's affair, so it is not in it.

    Raises InvalidArgument, and Unsupported for what bubblewrap containers cannot have.
    """
    if mode(spec, "user") != "host":
        raise Unsupported(
            "runtime 'bubblewrap' does not support 'userns' - containers share the platform's user namespace",
            hint="run the platform as an ordinary user, or use another runtime",
        )
    place = Placement(cgroup_parent=parent, warn=warn)
    return build(replace(spec, init=False), Path(rootfs.path), sandbox, user, host, place)


def plan_create(
    spec: ContainerSpec, config: Mapping[str, Any], io: ContainerIO, host: HostFacts, *, bwrap: Path
) -> dict[str, Any]:
    """All but the directory and the cgroup, which exist only later."""
    linux = config["linux"]
    namespaces = dict.fromkeys(("pid", "ipc", "uts", "cgroup", "net"), "host")
    for entry in linux["namespaces"]:
        kind = {"network": "net", "mount": ""}.get(entry["type"], entry["type"])
        if kind:
            namespaces[kind] = entry.get("path", "private")
    sysctls = dict(linux.get("sysctl") or {})
    # The system call works in a user namespace, the file does not.
    domainname = sysctls.pop("kernel.domainname", "")
    _check_sysctls(sysctls, namespaces)
    limited_devices = not host.rootless and "devices" in host.cgroups.mounts
    return {
        "mode": "create",
        "name": spec.id,
        "bwrap": str(bwrap),
        "rootfs": config["root"]["path"],
        "namespaces": namespaces,
        "hostname": config.get("hostname", ""),
        "domainname": domainname,
        "sysctls": sysctls,
        "mounts": plan_mounts(
            config["mounts"], host.cgroups, rootless=host.rootless, own_ipc=namespaces["ipc"] == "private"
        ),
        "devices": plan_devices(spec, linux["devices"]),
        # Where no cgroup stands between a root with CAP_MKNOD and the host's disks, nodev does.
        "allow_devices": limited_devices or (spec.privileged and not host.rootless),
        "privileged": spec.privileged and not host.rootless,
        "masked": [] if spec.privileged else list(linux["maskedPaths"]),
        "readonly": [] if spec.privileged else list(linux["readonlyPaths"]),
        "readonly_rootfs": config["root"]["readonly"],
        "process": plan_process(config["process"], linux.get("seccomp"), init=spec.init),
        "io": plan_io(io),
    }


def plan_exec(
    container_id: str,
    target: tuple[int, int],
    record: Mapping[str, Any],
    process: Mapping[str, Any],
    io: ContainerIO,
) -> dict[str, Any]:
    """All but the cgroup. `target` is the container's first process: its pid and start time."""
    return {
        "mode": "exec",
        "name": container_id,
        "target": list(target),
        "sysctls": {},
        "domainname": "",
        "process": plan_process(process, None if record.get("privileged") else record.get("seccomp")),
        "io": plan_io(io),
    }


def plan_process(
    process: Mapping[str, Any], seccomp: Mapping[str, Any] | None, *, init: bool = False
) -> dict[str, Any]:
    """One process. `seccomp` is linux.seccomp of its container."""
    size = process.get("consoleSize")
    kept = set(process["capabilities"]["bounding"])
    return {
        "args": process["args"],
        "env": dict(entry.partition("=")[::2] for entry in process["env"] if "=" in entry),
        "cwd": process["cwd"],
        "uid": process["user"]["uid"],
        "gid": process["user"]["gid"],
        "groups": process["user"]["additionalGids"] or None,
        "tty": process["terminal"],
        "size": [size["height"], size["width"]] if size else None,
        "capabilities": sum(1 << number for number, name in enumerate(CAPABILITIES) if name in kept),
        "no_new_privileges": process["noNewPrivileges"],
        "rlimits": [_rlimit(limit) for limit in process["rlimits"]],
        "oom_score_adj": process.get("oomScoreAdj"),
        "apparmor": process.get("apparmorProfile", ""),
        "seccomp": None if seccomp is None else _program(json.dumps(seccomp, sort_keys=True)),
        "init": init,
    }


def plan_io(io: ContainerIO) -> dict[str, Any]:
    return {"log": io.log, "stdin": io.stdin, "stdin_once": io.stdin_once, "tty": io.tty}


@lru_cache(maxsize=16)
def _program(profile: str) -> str:
    return compile_profile(json.loads(profile)).hex()


def _rlimit(limit: Mapping[str, Any]) -> list[int]:
    number = RLIMITS[limit["type"].removeprefix("RLIMIT_").lower()]
    return [number, *(-1 if limit[key] == UNLIMITED else limit[key] for key in ("soft", "hard"))]


_IPC = frozenset(
    f"kernel.{name}"
    for name in ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"]
)


def _check_sysctls(names: Sequence[str] | Mapping[str, str], namespaces: Mapping[str, str]) -> None:
    """Only settings that belong to a namespace of the container's own (runc's rule)."""
    for name in names:
        if name.startswith("net."):
            kind = "net"
        elif name in _IPC or name.startswith("fs.mqueue."):
            kind = "ipc"
        elif name in ("kernel.hostname", "kernel.domainname"):
            kind = "uts"
        else:
            raise InvalidArgument(f"sysctl {name!r} is not in a separate kernel namespace")
        if namespaces[kind] == "host":
            raise InvalidArgument(f"sysctl {name!r} is not allowed in the host's {kind} namespace")
