"""All parts together: the ContainerSpec that a hook may change and a runtime is asked to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from moby_components.engine.moby.records import Record
from moby_components.engine.moby.rendering import namespaces as ns
from moby_components.engine.moby.rendering.devices import devices
from moby_components.engine.moby.rendering.network import hostname
from moby_components.engine.moby.rendering.process import process
from moby_components.engine.moby.rendering.resources import resources
from moby_components.engine.moby.rendering.security import security
from moby_py.errors import InvalidArgument
from moby_py.model import ContainerSpec, Mount, ProcessSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the start found or made before it renders: mounts with host paths, namespace files."""

    mounts: tuple[Mount, ...] = ()
    joined: Mapping[str, str] = ()  # type: ignore[assignment]
    """Namespace kind -> /proc/PID/ns/KIND of another container."""
    host_network: bool = False
    joined_hostname: str = ""
    """The host name of the container whose network is shared."""


def render(record: Record, around: Surroundings) -> ContainerSpec:
    """Made anew at each start. Looks at the host's devices; raises InvalidArgument."""
    body, host = record.intent, record.host
    found = ns.namespaces(body)
    safe = security(host)
    name = around.joined_hostname or own_hostname(body, record.id, around.host_network)
    users, groups = ns.own_id_mappings() if found.own.get("user") == "private" else ((), ())
    return ContainerSpec(
        id=record.id,
        name=record.name,
        image=record.image,
        image_id=record.image_id,
        process=process(body, safe, hostname=name, ours=own_oom_score()),
        hostname="" if found.own.get("uts") == "host" else name,
        domainname=body.get("Domainname") or "",
        namespaces={**found.own, **dict(around.joined)},
        uid_mappings=users,
        gid_mappings=groups,
        mounts=around.mounts,
        devices=devices(host),
        resources=resources(host),
        privileged=bool(host.get("Privileged")),
        readonly_rootfs=bool(host.get("ReadonlyRootfs")),
        masked_paths=safe.masked,
        readonly_paths=safe.readonly,
        seccomp=safe.seccomp,
        sysctls=sysctls(host, host_network=around.host_network),
        init=bool(host.get("Init")),
        cgroup_parent=host.get("CgroupParent") or "",
        annotations=dict(host.get("Annotations") or {}),
        labels=dict(record.labels),
        stop_signal=body.get("StopSignal") or "SIGTERM",
    )


def main_process(record: Record) -> ProcessSpec:
    """The first process again, for an exec to start from."""
    name = own_hostname(record.intent, record.id, record.host.get("NetworkMode") == "host")
    return process(record.intent, security(record.host), hostname=name, ours=own_oom_score())


def own_hostname(body: Mapping[str, Any], id: str, host_network: bool) -> str:
    """With the host's network and no name of one's own: the host's name, as Docker does."""
    if host_network and not body.get("Hostname"):
        import socket

        return socket.gethostname()
    return hostname(body, id)


def sysctls(host: Mapping[str, Any], *, host_network: bool) -> Mapping[str, str]:
    """Only those that belong to a namespace of the container's own. Raises InvalidArgument."""
    found = {str(key): str(value) for key, value in (host.get("Sysctls") or {}).items()}
    for key in found:
        if key.startswith("net."):
            if host_network:
                raise InvalidArgument(f"sysctl '{key}' not allowed in host network namespace")
        elif not key.startswith(("kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue.")) and key not in (
            "kernel.domainname",
        ):
            raise InvalidArgument(
                f"sysctl '{key}' is not allowed - it is not of a container's own namespaces"
            )
    return found


@cache
def own_oom_score() -> int:
    """The daemon's own, which a container would inherit."""
    return int(Path("/proc/self/oom_score_adj").read_text())
