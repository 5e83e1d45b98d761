"""Which namespaces are the container's own, the host's, or another's."""

from __future__ import annotations

from typing import Any

from moby_components.common.ocispec.host import HostFacts
from moby_py.errors import InvalidArgument
from moby_py.model import ContainerSpec, Sandbox

_OCI_NAMES = {"pid": "pid", "ipc": "ipc", "uts": "uts", "user": "user", "cgroup": "cgroup"}


def mode(spec: ContainerSpec, kind: str) -> str:
    """ "private", "host" or a path. A user namespace is the host's unless asked for."""
    return spec.namespaces.get(kind) or ("host" if kind == "user" else "private")


def owns(spec: ContainerSpec, kind: str) -> bool:
    """Whether the container gets a new namespace of this kind."""
    return mode(spec, kind) == "private"


def build_namespaces(spec: ContainerSpec, sandbox: Sandbox, host: HostFacts) -> list[dict[str, Any]]:
    """Spec: linux.namespaces. Raises `InvalidArgument` for a kind or a mode that is none."""
    unknown = sorted(set(spec.namespaces) - set(_OCI_NAMES))
    if unknown:
        raise InvalidArgument(f"unknown namespace {unknown[0]!r} - it is none of {', '.join(_OCI_NAMES)}")
    found: list[dict[str, Any]] = [{"type": "mount"}, *_network(sandbox)]
    for kind, name in _OCI_NAMES.items():
        wanted = mode(spec, kind)
        if wanted == "host" or (kind == "cgroup" and wanted == "private" and not host.cgroup_namespaces):
            continue
        if wanted == "private":
            found.append({"type": name})
        elif wanted.startswith("/"):
            found.append({"type": name, "path": wanted})
        else:
            raise InvalidArgument(f"invalid {kind} namespace {wanted!r} - private, host or a path is meant")
    return found


def _network(sandbox: Sandbox) -> list[dict[str, Any]]:
    if sandbox.path:
        return [{"type": "network", "path": sandbox.path}]
    if sandbox.mode == "host":
        return []
    if sandbox.mode == "empty":
        return [{"type": "network"}]
    raise InvalidArgument(f"cannot use a network sandbox of mode {sandbox.mode!r} without a path")
