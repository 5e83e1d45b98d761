"""From the contract's words to netavark's (its `NetworkOptions` JSON), and the options it understands.

    {"container_id", "container_name", "port_mappings": [...], "dns_servers",
     "networks":     {NETWORK: {"interface_name", "static_ips", "static_mac", "aliases"}},
     "network_info": {NETWORK: {"driver", "network_interface", "subnets", "dns_enabled", "options", ...}}}

NETWORK is our network's id: netavark derives the names of its iptables chains from it, and two
platforms with a network "bridge" each must not share chains.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from moby_components.common import predefined
from moby_py.errors import InvalidArgument, Unsupported
from moby_py.model import AttachRequest, NetworkRecord, PortBinding

MTU = "com.docker.network.driver.mtu"
BRIDGE_NAME = "com.docker.network.bridge.name"
HOST_IP = "com.docker.network.bridge.host_binding_ipv4"
_SWITCHES = {
    "com.docker.network.bridge.enable_icc": "traffic between the containers of one network",
    "com.docker.network.bridge.enable_ip_masquerade": "masquerading",
}
_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}")
_MODES = ("bridge", "private", "vepa", "passthru")
METRIC = "4000"
"""Of the default routes that netavark always makes; they are put right afterwards."""


def planned(draft: NetworkRecord, *, names: str = "aardvark") -> NetworkRecord:
    """The network as netavark can make it, its names served by "aardvark" or the "engine". Raises
    InvalidArgument, Unsupported."""
    macvlan = draft.driver == "macvlan"
    options = draft.options
    _mtu(options.get(MTU, ""))
    for key, what in _SWITCHES.items():
        if not macvlan and options.get(key, "true").lower() not in ("true", "1", "t"):
            raise Unsupported(
                f"cannot create network {draft.name} - netavark has no switch for {what} ({key})",
                hint="use network/bridge for this network",
            )
    if macvlan:
        if options.get("macvlan_mode", "bridge") not in _MODES:
            raise InvalidArgument(
                f"invalid macvlan mode {options['macvlan_mode']} - it is one of {', '.join(_MODES)}"
            )
        _interface(options.get("parent", ""), "parent")
    else:
        _interface(options.get(BRIDGE_NAME, ""), BRIDGE_NAME)
        _host_ip(options.get(HOST_IP, ""))
    server = "component" if names == "aardvark" and not macvlan else "engine"
    return replace(draft, sandbox="private", addressing="engine", names=server)


def bridge_name(platform: str, network: NetworkRecord) -> str:
    """The user's own name for the bridge, or one that tells the platform's bridges apart."""
    asked = network.options.get(BRIDGE_NAME, "")
    digest = hashlib.sha256(f"{platform} {network.id}".encode()).hexdigest()
    return asked or f"nv-{digest[:11]}"


def setup_input(
    request: AttachRequest, ports: Sequence[PortBinding], platform: str, mtu: int | None
) -> dict[str, Any]:
    """netavark's input for this endpoint. Raises InvalidArgument for names that aardvark's files
    cannot hold."""
    network = request.network
    pools = [ipaddress.ip_network(c["Subnet"]) for c in network.ipam.get("Config") or ()]
    gateways = [c.get("Gateway") for c in network.ipam.get("Config") or ()]
    addresses, subnets = [], []
    for text in (request.ipv4, request.ipv6):
        if text:
            address = ipaddress.ip_interface(text).ip
            found = next((i for i, pool in enumerate(pools) if address in pool), None)
            if found is None:
                raise InvalidArgument(f"address {address} is in no subnet of network {network.name}")
            addresses.append(str(address))
            subnets.append(
                {"subnet": str(pools[found])} | ({"gateway": gateways[found]} if gateways[found] else {})
            )
    names = [request.container_name, *request.aliases, request.container_id[:12]]
    for name in names:
        if not _NAME.fullmatch(name):
            raise InvalidArgument(f"invalid network alias {name!r} - letters, digits, '_', '.' and '-' only")
    endpoint: dict[str, Any] = {
        "interface_name": request.interface,
        "static_ips": addresses,
        "aliases": list(dict.fromkeys(names[1:])),
    }
    if request.mac:
        endpoint["static_mac"] = request.mac
    body: dict[str, Any] = {
        "container_id": request.container_id,
        "container_name": request.container_name,
        "networks": {network.id: endpoint},
        "network_info": {network.id: _info(network, subnets, platform, mtu)},
    }
    if ports:
        body["port_mappings"] = _mappings(request, ports)
    if request.dns:
        body["dns_servers"] = [str(ipaddress.ip_address(server)) for server in request.dns]
    return body


def _info(
    network: NetworkRecord, subnets: list[dict[str, Any]], platform: str, mtu: int | None
) -> dict[str, Any]:
    macvlan = network.driver == "macvlan"
    wanted = _mtu(network.options.get(MTU, "")) or mtu
    options = {"metric": METRIC} | ({"mtu": str(wanted)} if wanted else {})
    if macvlan:
        options["mode"] = network.options.get("macvlan_mode", "bridge")
    else:
        options["isolate"] = "true"
    interface = network.options.get("parent", "") if macvlan else bridge_name(platform, network)
    return {
        "id": network.id,
        "name": network.id,
        "driver": "macvlan" if macvlan else "bridge",
        "network_interface": interface,
        "subnets": subnets,
        "ipv6_enabled": any(":" in s["subnet"] for s in subnets),
        "internal": network.internal,
        "dns_enabled": network.names == "component",
        "options": options,
        "ipam_options": {"driver": "host-local"},
    }


def _mappings(request: AttachRequest, ports: Sequence[PortBinding]) -> list[dict[str, Any]]:
    """netavark 1.4 takes 0.0.0.0 for an address that packets are sent to, so its rules never match:
    every address of a family is "" in its words - and that is both families."""
    mapped: dict[tuple[int, str, int, str], dict[str, Any]] = {}
    for port in ports:
        missing = {"0.0.0.0": not request.ipv4, "::": not request.ipv6}  # noqa: S104
        if missing.get(port.host_ip):
            continue
        address = "" if port.host_ip in missing else port.host_ip
        mapped[port.container_port, port.protocol, port.host_port, address] = {
            "container_port": port.container_port,
            "host_port": port.host_port,
            "host_ip": address,
            "protocol": port.protocol,
            "range": 1,
        }
    return list(mapped.values())


def published(request: AttachRequest) -> tuple[PortBinding, ...]:
    """The ports to publish, on the network's own host address where the user gave none. macvlan and
    internal networks publish nothing, as in Docker."""
    network = request.network
    if network.driver == "macvlan" or network.internal:
        return ()
    default = network.options.get(HOST_IP, "")
    return tuple(replace(p, host_ip=p.host_ip or default) for p in request.ports)


def _mtu(text: str) -> int:
    if text in ("", "0"):
        return 0
    if not text.isascii() or not text.isdigit() or not 68 <= int(text[:6]) <= 65535:
        raise InvalidArgument(f"invalid {MTU} {text!r} - it is a number from 68 to 65535")
    return int(text)


def _interface(name: str, option: str) -> None:
    if name and not _INTERFACE.fullmatch(name):
        raise InvalidArgument(
            f"invalid {option} {name!r} - an interface name has up to 15 letters, digits, '_', '.', '-'"
        )


def _host_ip(text: str) -> None:
    if text:
        try:
            ipaddress.IPv4Address(text)
        except ValueError as error:
            raise InvalidArgument(f"invalid {HOST_IP} {text!r} - it is an IPv4 address") from error


def default_network(options: Mapping[str, Any]) -> NetworkRecord:
    """The predefined "bridge": Docker's default network, without names."""
    pools = []
    for key in ("subnet", "subnet6"):
        if options.get(key):
            pool = ipaddress.ip_network(options[key])
            pools.append({"Subnet": str(pool), "Gateway": str(pool[1])})
    return predefined.default(
        "bridge",
        ipv6=any(":" in p["Subnet"] for p in pools),
        ipam={"Driver": "default", "Options": {}, "Config": pools},
        options={"com.docker.network.bridge.default_bridge": "true"},
    )
