"""Networks, sandboxes and endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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
    addressing: str = "none"
    """Who gives endpoints their addresses: "engine" (from the pools in `ipam`), "component" (`attach`
    reports them), "none"."""
    names: str = "none"
    """Who resolves container names: "engine" (its resolver at 127.0.0.11), "component" (the servers in
    `Attachment.dns`), "none" (the host's resolvers, as on Docker's default bridge)."""
    ipam: Mapping[str, Any] = field(default_factory=dict)
    """Docker's IPAM object: {"Driver", "Options", "Config": [{"Subnet", "IPRange", "Gateway",
    "AuxiliaryAddresses"}]}. With `addressing` "engine" every Config has Subnet and Gateway."""
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    component: str = ""
    """Id of the component that serves it now: a rendering, set by the engine."""
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
    """A published port. `host_port` 0 asks for any free one; with `host_port_end` it asks for one that
    is free from `host_port` up to and with `host_port_end`, the lowest first. What was taken has no
    `host_port_end`."""

    container_port: int
    protocol: str = "tcp"
    host_ip: str = ""
    host_port: int = 0
    host_port_end: int = 0

    @property
    def host_ports(self) -> range:
        """The numbers that will do, in the order to try them; (0,) for any."""
        return range(self.host_port, max(self.host_port, self.host_port_end) + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachRequest:
    """One container joining one network. With `addressing` "engine" addresses come with their prefix
    length ("10.88.0.2/16", "" for none) and `mac` is set; otherwise they are the user's wishes."""

    container_id: str
    container_name: str
    network: NetworkRecord
    sandbox: Sandbox
    interface: str = "eth0"
    endpoint_id: str = ""
    hostname: str = ""
    aliases: tuple[str, ...] = ()
    ports: tuple[PortBinding, ...] = ()
    ipv4: str = ""
    ipv6: str = ""
    gateway4: str = ""
    gateway6: str = ""
    """The network's gateways; "" where it is internal or has none."""
    default_route: bool = True
    """Whether the sandbox's default route goes over this network."""
    mac: str = ""
    dns: tuple[str, ...] = ()
    """Resolvers that the user asked for (--dns), for components with a resolver of their own."""
    own_stack: bool = False
    """The runtime has a network stack of its own (gVisor) that reads interfaces, addresses and routes
    from the sandbox when it starts: sockets and rules made inside the sandbox do nothing for it."""
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def network_id(self) -> str:
        return self.network.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """What came of it: addresses with prefix length ("10.88.0.2/16"), "" where there are none. `ports`
    with the host ports that were really taken."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An attach that happened."""

    request: AttachRequest
    attachment: Attachment
