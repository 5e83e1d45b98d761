"""The way in and out of a chain: an AttachRequest becomes configuration, a CNI result an Attachment."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moby_py.errors import DataError, InvalidArgument, Unsupported
from moby_py.model import Attachment, AttachRequest, PortBinding

_RATE = re.compile(r"(\d+)([kmg]?)(?:bit)?", re.IGNORECASE)
_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_BURST = 0x7FFFFFFF
BANDWIDTH = {
    "bandwidth.ingress": "ingressRate",
    "bandwidth.egress": "egressRate",
    "bandwidth.ingress_burst": "ingressBurst",
    "bandwidth.egress_burst": "egressBurst",
}
"""Options of a network and of an endpoint (--network name=app,driver-opt=...) -> runtimeConfig."""


def configured(
    config: Mapping[str, Any], request: AttachRequest, ports: Sequence[PortBinding], state: Path, run: Path
) -> dict[str, Any]:
    """The list as the plugins get it for this container: addresses, runtimeConfig for the capabilities
    that each plugin declares, and directories within the platform where a plugin keeps files."""
    runtime = _runtime(request, ports)
    plugins = [dict(plugin) for plugin in config["plugins"]]
    if "bandwidth" in runtime and not any(_can(p, "bandwidth") for p in plugins):
        plugins.append({"type": "bandwidth", "capabilities": {"bandwidth": True}})
    if ports and not any(_can(p, "portMappings") for p in plugins):
        raise Unsupported(
            f"network {request.network.name} cannot publish ports - no plugin of its chain takes "
            "portMappings",
            hint='add {"type": "portmap", "capabilities": {"portMappings": true}} to its conflist',
        )
    for plugin in plugins:
        given = {name: value for name, value in runtime.items() if _can(plugin, name)}
        if given:
            plugin["runtimeConfig"] = {**plugin.get("runtimeConfig", {}), **given}
        if plugin["type"] == "tuning":
            plugin.setdefault("dataDir", str(run / "tuning"))
        if plugin.get("ipam"):
            plugin["ipam"] = _ipam(plugin["ipam"], request, state, run)
            if request.network.addressing != "engine":
                _wishes(plugin, request)
    return {**config, "plugins": plugins}


def attachment(
    request: AttachRequest, result: Mapping[str, Any], ports: Sequence[PortBinding] = ()
) -> Attachment:
    """What the result says of the container's interface. Raises DataError for one of a wrong shape."""
    try:
        interfaces = list(result.get("interfaces") or [])
        mine = [
            n for n, i in enumerate(interfaces) if i.get("sandbox") and i.get("name") == request.interface
        ]
        mac = interfaces[mine[0]].get("mac", "") if mine else ""
        found: dict[int, tuple[str, str]] = {}
        for ip in result.get("ips") or []:
            if mine and ip.get("interface") not in (None, *mine):
                continue
            address = ipaddress.ip_interface(ip["address"])
            gateway = str(ipaddress.ip_address(ip["gateway"])) if ip.get("gateway") else ""
            found.setdefault(address.version, (str(address), gateway))
        servers = tuple(str(s) for s in (result.get("dns") or {}).get("nameservers") or ())
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(
            f"network {request.network.name}: the CNI result is not of its form - "
            f"{type(error).__name__}: {error}"
        ) from error
    (ipv4, gateway4), (ipv6, gateway6) = found.get(4, ("", "")), found.get(6, ("", ""))
    return Attachment(
        container_id=request.container_id,
        network_id=request.network_id,
        endpoint_id=request.endpoint_id,
        interface=request.interface,
        mac=str(mac).lower(),
        ipv4=ipv4,
        ipv6=ipv6,
        gateway4=gateway4,
        gateway6=gateway6,
        dns=servers,
        ports=tuple(ports),
    )


def addresses_of(result: Mapping[str, Any] | None) -> list[str]:
    """Every address of a result, the bad ones left out."""
    found = []
    for ip in (result or {}).get("ips") or []:
        try:
            found.append(str(ipaddress.ip_interface(ip["address"])))
        except (KeyError, TypeError, ValueError):
            continue
    return found


def bandwidth(options: Mapping[str, str]) -> dict[str, int]:
    """runtimeConfig of the bandwidth plugin, in bits. Raises InvalidArgument."""
    found = {}
    for option, name in BANDWIDTH.items():
        if options.get(option):
            match = _RATE.fullmatch(options[option])
            if match is None or not int(match[1]):
                raise InvalidArgument(
                    f"invalid {option}: {options[option]} - it is a number of bits, such as 10m for 10 Mbit/s"
                )
            found[name] = int(match[1]) * _FACTORS[match[2].lower()]
    for way in ("ingress", "egress"):
        if f"{way}Rate" in found:
            # A token bucket wants a depth: what half a second brings, as far as its field holds it.
            found.setdefault(f"{way}Burst", min(max(found[f"{way}Rate"] // 2, 32 * 8 * 1024), _BURST))
    return found


def _runtime(request: AttachRequest, ports: Sequence[PortBinding]) -> dict[str, Any]:
    """Capability -> its runtimeConfig (CNI conventions)."""
    wanted = {
        "portMappings": [_mapping(port) for port in ports],
        "mac": request.mac,
        "ips": [ip for ip in (request.ipv4, request.ipv6) if ip],
        "aliases": [request.container_name, *request.aliases],
        "bandwidth": bandwidth({**request.network.options, **request.options}),
        "dns": {"servers": list(request.dns)} if request.dns else None,
    }
    return {name: value for name, value in wanted.items() if value}


def _mapping(port: PortBinding) -> dict[str, Any]:
    return {
        "hostPort": port.host_port,
        "containerPort": port.container_port,
        "protocol": port.protocol,
        "hostIP": port.host_ip,
    }


def _can(plugin: Mapping[str, Any], capability: str) -> bool:
    return (plugin.get("capabilities") or {}).get(capability) is True


def _ipam(ipam: Mapping[str, Any], request: AttachRequest, state: Path, run: Path) -> dict[str, Any]:
    ipam = dict(ipam)
    if ipam["type"] == "host-local":
        ipam.setdefault("dataDir", str(state / "ipam"))
    elif ipam["type"] == "dhcp":
        ipam.setdefault("daemonSocketPath", str(run / "dhcp.sock"))
    elif ipam["type"] == "static" and request.network.addressing == "engine":
        pairs = ((request.ipv4, request.gateway4), (request.ipv6, request.gateway6))
        ipam["addresses"] = [
            {"address": address, **({"gateway": gateway} if gateway else {})}
            for address, gateway in pairs
            if address
        ]
    return ipam


def _wishes(plugin: dict[str, Any], request: AttachRequest) -> None:
    """--ip and --mac-address for plugins with addresses of their own, as the conventions have it."""
    wishes: dict[str, Any] = {}
    ips = [ip.partition("/")[0] for ip in (request.ipv4, request.ipv6) if ip]
    if ips:
        wishes["ips"] = ips
    if request.mac:
        wishes["mac"] = request.mac
    if wishes:
        arguments = dict(plugin.get("args") or {})
        plugin["args"] = {**arguments, "cni": {**(arguments.get("cni") or {}), **wishes}}
