"""The whole of config.json: `build` puts the sections together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moby_components.common.ocispec.devices import build_devices, device_rules
from moby_components.common.ocispec.host import HostFacts
from moby_components.common.ocispec.mounts import build_mounts, root_propagation
from moby_components.common.ocispec.namespaces import build_namespaces, owns
from moby_components.common.ocispec.process import build_process
from moby_components.common.ocispec.resources import build_resources
from moby_components.common.ocispec.seccomp import build_seccomp
from moby_components.common.users import User
from moby_py.errors import InvalidArgument, Unavailable
from moby_py.model import ContainerSpec, Sandbox

OCI_VERSION = "1.0.2"
INIT = "/sbin/docker-init"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What one daemon decides for its containers.

    `cgroup_parent` an absolute cgroup path, used unless the container names one; `init` the host's
    init program for --init; `warn` is told each thing that this host made us leave out.
    """

    cgroup_parent: str
    init: Path | None = None
    warn: Callable[[str], None] = lambda _: None


def build(
    spec: ContainerSpec, rootfs: Path, sandbox: Sandbox, user: User, host: HostFacts, place: Placement
) -> dict[str, Any]:
    """config.json as a dict. Raises `InvalidArgument` for a spec that cannot be, `Unavailable` where
    the host lacks what was asked for outright (--init without an init, a profile without seccomp)."""
    mounts = build_mounts(spec, sandbox, host)
    process = build_process(spec.process, user, host, place.warn, privileged=spec.privileged)
    if spec.init:
        if place.init is None:
            raise Unavailable(
                "cannot run an init in the container - this host has no static init program",
                hint="apt-get install catatonit",
            )
        options = ["bind", "ro", "rprivate"]
        mounts.append({"destination": INIT, "type": "bind", "source": str(place.init), "options": options})
        process["args"] = [INIT, "--", *process["args"]]
    config: dict[str, Any] = {
        "ociVersion": OCI_VERSION,
        "process": process,
        "root": {"path": str(rootfs), "readonly": spec.readonly_rootfs},
        "mounts": mounts,
        "linux": _linux(spec, sandbox, host, place),
    }
    if owns(spec, "uts") and spec.hostname:
        config["hostname"] = spec.hostname
    if spec.annotations:
        config["annotations"] = dict(spec.annotations)
    return config


def _linux(spec: ContainerSpec, sandbox: Sandbox, host: HostFacts, place: Placement) -> dict[str, Any]:
    linux: dict[str, Any] = {
        "namespaces": build_namespaces(spec, sandbox, host),
        "devices": build_devices(spec),
        "maskedPaths": list(spec.masked_paths),
        "readonlyPaths": list(spec.readonly_paths),
        "sysctl": _sysctls(spec, sandbox, host),
        "resources": build_resources(spec.resources, host, place.warn),
    }
    if host.controllers:
        linux["cgroupsPath"] = f"{_parent(spec, place)}/{spec.id}"
        linux["resources"]["devices"] = device_rules(spec)
    elif linux["resources"]:
        raise AssertionError("limits without controllers")  # build_resources leaves them out
    if owns(spec, "user"):
        for key, table in (("uidMappings", spec.uid_mappings), ("gidMappings", spec.gid_mappings)):
            if not table:
                raise InvalidArgument("a private user namespace needs uid and gid mappings - none given")
            linux[key] = [{"containerID": a, "hostID": b, "size": c} for a, b, c in table]
    propagation = root_propagation(spec)
    if propagation:
        linux["rootfsPropagation"] = propagation
    if spec.process.selinux_label and host.selinux:
        linux["mountLabel"] = spec.process.selinux_label
    seccomp = build_seccomp(spec, host, place.warn)
    if seccomp is not None:
        linux["seccomp"] = seccomp
    return linux


def _parent(spec: ContainerSpec, place: Placement) -> str:
    parent = spec.cgroup_parent or place.cgroup_parent
    if ".." in parent.split("/"):
        raise InvalidArgument(f"invalid cgroup parent {parent!r} - it must not contain '..'")
    return "/" + parent.strip("/") if parent.strip("/") else ""


def _sysctls(spec: ContainerSpec, sandbox: Sandbox, host: HostFacts) -> dict[str, str]:
    """What was asked for, and Docker's own: a domain name, low ports and ping for everybody."""
    found: dict[str, str] = {}
    if owns(spec, "uts") and spec.domainname:
        found["kernel.domainname"] = spec.domainname
    if sandbox.mode != "host" and not host.rootless and not owns(spec, "user"):
        found["net.ipv4.ip_unprivileged_port_start"] = "0"
        found["net.ipv4.ping_group_range"] = "0 2147483647"
    return {**found, **spec.sysctls}
