"""Networks, sandboxes and endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRecord:
    """One network. `sandbox` says what a container on it needs:

    "empty"    a namespace with a loopback only; the runtime makes it (network none)
    "host"     the host's own
    "private"  a namespace that the engine makes and pins, and that `attach` furnishes
    "runtime"  the runtime's own affair (a CRI daemon that calls CNI itself)
    """

    id: str
    name: str
    driver: str
    sandbox: str
    created: str = ""
    internal: bool = False
    attachable: bool = False
    ipv6: bool = False
    ipam: Mapping[str, object] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    builtin: bool = False
    """Brought by the component ("none", "host", "bridge"): cannot be removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """The network namespace a container runs in. `mode` as `NetworkRecord.sandbox`; `path` of the
    namespace file for "private" and for joining another container's."""

    mode: str
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortBinding:
    """A published port. `host_port` 0 asks for any free one; ranges are already expanded."""

    container_port: int
    protocol: str = "tcp"
    host_ip: str = ""
    host_port: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachRequest:
    """One container joining one network."""

    container_id: str
    container_name: str
    network_id: str
    sandbox: Sandbox
    hostname: str = ""
    aliases: tuple[str, ...] = ()
    ports: tuple[PortBinding, ...] = ()
    ipv4: str = ""
    ipv6: str = ""
    mac: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    interface: str = "eth0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """What came of it: addresses with prefix length ("10.88.0.2/16"), "" where there are none."""

    container_id: str
    network_id: str
    endpoint_id: str
    interface: str = ""
    mac: str = ""
    ipv4: str = ""
    ipv6: str = ""
    gateway4: str = ""
    gateway6: str = ""
    dns: tuple[str, ...] = ()
    ports: tuple[PortBinding, ...] = ()
