"""The bodies of libnetwork's remote driver protocol, and what comes back checked."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from moby_py.errors import RuntimeFailed
from moby_py.model import AttachRequest, NetworkRecord, PortBinding

_INTERFACE = re.compile(r"[^\s/:]{1,15}")
_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "sctp": 132}
_MOST_ROUTES = 1000


@dataclass(frozen=True, slots=True)
class Joined:
    """Join's answer. `source` is the interface to take over, "" for none."""

    source: str
    gateway4: str
    gateway6: str
    routes: tuple[tuple[str, str], ...]


def create_network(network: NetworkRecord) -> dict[str, Any]:
    """CreateNetwork's body; addresses by the engine's pools or the remote IPAM's."""
    generic: dict[str, Any] = dict(network.options)
    options: dict[str, Any] = {
        "com.docker.network.generic": generic,
        "com.docker.network.enable_ipv6": network.ipv6,
    }
    if network.internal:
        options["com.docker.network.internal"] = True
    data: dict[int, list[dict[str, Any]]] = {4: [], 6: []}
    for config in network.ipam.get("Config") or ():
        subnet = ipaddress.ip_network(config["Subnet"], strict=False)
        gateway = config.get("Gateway")
        aux = config.get("AuxiliaryAddresses") or {}
        data[subnet.version].append(
            {
                "AddressSpace": "LocalDefault",
                "Pool": str(subnet),
                "Gateway": f"{gateway}/{subnet.prefixlen}" if gateway else "",
                "AuxAddresses": {name: f"{a}/{subnet.prefixlen}" for name, a in aux.items()},
            }
        )
    return {"NetworkID": network.id, "Options": options, "IPv4Data": data[4], "IPv6Data": data[6]}


def port_options(ports: Sequence[PortBinding]) -> dict[str, Any]:
    """The options that tell a driver of ports, for CreateEndpoint and ProgramExternalConnectivity."""
    exposed = [{"Proto": _PROTOCOLS.get(p.protocol, 0), "Port": p.container_port} for p in ports]
    bound = [
        {
            "Proto": _PROTOCOLS.get(p.protocol, 0),
            "IP": "",
            "Port": p.container_port,
            "HostIP": p.host_ip,
            "HostPort": p.host_port,
            "HostPortEnd": p.host_port_end or p.host_port,
        }
        for p in ports
    ]
    return {
        "com.docker.network.endpoint.exposedports": exposed,
        "com.docker.network.portmap": bound,
    }


def create_endpoint(request: AttachRequest, ipv4: str, ipv6: str, mac: str) -> dict[str, Any]:
    return {
        "NetworkID": request.network_id,
        "EndpointID": request.endpoint_id,
        "Options": {**request.options, **port_options(request.ports)},
        "Interface": {"Address": ipv4, "AddressIPv6": ipv6, "MacAddress": mac},
    }


def endpoint_interface(plugin: str, answer: Mapping[str, Any], asked: Sequence[str]) -> tuple[str, str, str]:
    """Addresses and MAC after CreateEndpoint: what was asked for, or what the driver chose where
    nothing was. Changing what was asked is an error, in libnetwork's words."""
    found = answer.get("Interface") or {}
    method = "NetworkDriver.CreateEndpoint"
    if not isinstance(found, dict):
        raise garbage(plugin, method, "no object in Interface")
    values = []
    for key, wanted, what in zip(
        ("Address", "AddressIPv6", "MacAddress"), asked, ("address", "address", "MAC address"), strict=True
    ):
        value = found.get(key) or ""
        if not isinstance(value, str):
            raise garbage(plugin, method, f"no text in {key}")
        if value and wanted and value.lower() != wanted.lower():
            raise RuntimeFailed(f"driver modified interface {what}: {wanted} became {value[:50]!r}")
        values.append(value or wanted)
    ipv4, ipv6, mac = values
    for text, version in ((ipv4, 4), (ipv6, 6)):
        try:
            if text and ipaddress.ip_interface(text).version != version:
                raise ValueError(text)
        except ValueError as error:
            raise garbage(plugin, method, f"{text[:50]!r} is no IPv{version} address") from error
    if mac and not re.fullmatch(r"(?i:[0-9a-f]{2}(?::[0-9a-f]{2}){5})", mac):
        raise garbage(plugin, method, f"{mac[:50]!r} is no MAC address")
    return ipv4, ipv6, mac


def joined(plugin: str, answer: Mapping[str, Any]) -> Joined:
    """Join's answer, every field checked."""
    method = "NetworkDriver.Join"
    names = answer.get("InterfaceName") or {}
    if not isinstance(names, dict):
        raise garbage(plugin, method, "no object in InterfaceName")
    source = names.get("SrcName") or ""
    if not isinstance(source, str) or (
        source and (not _INTERFACE.fullmatch(source) or source in (".", ".."))
    ):
        raise garbage(plugin, method, f"{str(source)[:50]!r} is no interface name")
    gateways = []
    for key, version in (("Gateway", 4), ("GatewayIPv6", 6)):
        value = answer.get(key) or ""
        try:
            if value and ipaddress.ip_address(value).version != version:
                raise ValueError(value)
        except ValueError as error:
            raise RuntimeFailed(f'unable to parse {key} "{str(value)[:50]}"') from error
        gateways.append(str(value))
    return Joined(source, gateways[0], gateways[1], _routes(plugin, answer.get("StaticRoutes") or []))


def _routes(plugin: str, given: Any) -> tuple[tuple[str, str], ...]:
    method = "NetworkDriver.Join"
    if not isinstance(given, list) or len(given) > _MOST_ROUTES:
        raise garbage(plugin, method, f"no list of up to {_MOST_ROUTES} StaticRoutes")
    routes = []
    for one in given:
        try:
            destination = str(ipaddress.ip_network(one["Destination"], strict=False))
            hop = str(ipaddress.ip_address(one["NextHop"])) if one.get("NextHop") else ""
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise garbage(plugin, method, f"{str(one)[:50]!r} is no route") from error
        routes.append((destination, hop))
    return tuple(routes)


def taken_ports(info: Mapping[str, Any], asked: Sequence[PortBinding]) -> tuple[PortBinding, ...]:
    """The host ports that the driver reports (EndpointOperInfo); the asked ones where it is silent."""
    value = info.get("Value")
    reported = value.get("com.docker.network.portmap") if isinstance(value, dict) else None
    found: dict[tuple[int, int], int] = {}
    for one in reported if isinstance(reported, list) else ():
        if isinstance(one, dict) and all(isinstance(one.get(k), int) for k in ("Proto", "Port", "HostPort")):
            found[one["Proto"], one["Port"]] = one["HostPort"]
    return tuple(_taken(p, found.get((_PROTOCOLS.get(p.protocol, 0), p.container_port), 0)) for p in asked)


def _taken(asked: PortBinding, reported: int) -> PortBinding:
    fixed = asked.host_port if reported not in asked.host_ports else 0
    return replace(asked, host_port=fixed or reported, host_port_end=0)


def garbage(plugin: str, method: str, what: str) -> RuntimeFailed:
    return RuntimeFailed(f"plugin {plugin} answered {method} with garbage - {what}")
