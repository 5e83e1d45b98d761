"""The mounts of the field, and the container's own after them."""

from __future__ import annotations

from typing import Any

from moby_components.common.ocispec.host import HostFacts
from moby_components.common.ocispec.namespaces import mode, owns
from moby_py.errors import InvalidArgument
from moby_py.model import ContainerSpec, Mount, Sandbox

PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
SHM_SIZE = 64 << 20
TTY_GROUP = 5


def build_mounts(spec: ContainerSpec, sandbox: Sandbox, host: HostFacts) -> list[dict[str, Any]]:
    """Spec: mounts, in the order to mount. A mount of the container's own on a default's place (or
    on /dev, for those below it) takes that default's place, as Docker does it."""
    own = {mount.target.rstrip("/") or "/" for mount in spec.mounts}
    if "/" in own:
        raise InvalidArgument("invalid mount target '/' - the root is the image's")
    defaults = [
        mount
        for mount in _defaults(spec, sandbox, host)
        if mount["destination"] not in own
        and not ("/dev" in own and mount["destination"].startswith("/dev/"))
    ]
    return defaults + [_mount(mount) for mount in spec.mounts]


def root_propagation(spec: ContainerSpec) -> str:
    """Spec: linux.rootfsPropagation: what the container's propagating binds need of its root."""
    wanted = {option for mount in spec.mounts for option in mount.options if option in PROPAGATIONS}
    if wanted & {"shared", "rshared"}:
        return "shared"
    return "rslave" if wanted & {"slave", "rslave"} else ""


def _mount(mount: Mount) -> dict[str, Any]:
    if not mount.target.startswith("/") or ".." in mount.target.split("/"):
        raise InvalidArgument(f"invalid mount target {mount.target!r} - it must be absolute")
    options = list(mount.options)
    if mount.type == "bind":
        if not mount.source.startswith("/"):
            raise InvalidArgument(f"invalid mount source {mount.source!r} - it must be absolute")
        if not {"bind", "rbind"} & set(options):
            options.insert(0, "rbind")
        if not set(options) & set(PROPAGATIONS):
            options.append("rprivate")
    return {
        "destination": mount.target,
        "type": mount.type,
        "source": mount.source or mount.type,
        "options": options,
    }


def _defaults(spec: ContainerSpec, sandbox: Sandbox, host: HostFacts) -> list[dict[str, Any]]:
    strict = ["nosuid", "noexec", "nodev"]
    # In a user namespace the kernel mounts a proc or a sysfs only for one's own pids or network.
    guest = host.rootless or owns(spec, "user")
    tty = [f"gid={TTY_GROUP}"] if host.gids > TTY_GROUP else []
    write = [] if spec.privileged else ["ro"]
    found = [
        _bound("/proc", []) if guest and mode(spec, "pid") == "host" else _fs("/proc", "proc", strict),
        _fs("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _fs("/dev/pts", "devpts", [*strict[:2], "newinstance", "ptmxmode=0666", "mode=0620", *tty]),
        _bound("/sys", [*strict, *write])
        if guest and sandbox.mode == "host"
        else _fs("/sys", "sysfs", [*strict, *write]),
        _fs("/dev/mqueue", "mqueue", strict),
    ]
    if host.cgroups.mode != "none" and not (host.rootless and host.cgroups.mode != "v2"):
        found.insert(4, _fs("/sys/fs/cgroup", "cgroup", [*write, *strict]))
    if mode(spec, "ipc") == "host":
        found.append(_bound("/dev/shm", strict))
    else:
        found.append(_fs("/dev/shm", "tmpfs", [*strict, "mode=1777", f"size={SHM_SIZE}"], source="shm"))
    return found


def _fs(target: str, type_: str, options: list[str], *, source: str = "") -> dict[str, Any]:
    return {"destination": target, "type": type_, "source": source or type_, "options": options}


def _bound(path: str, options: list[str]) -> dict[str, Any]:
    """The host's own, bound in."""
    return {"destination": path, "type": "bind", "source": path, "options": ["rbind", *options, "rprivate"]}
