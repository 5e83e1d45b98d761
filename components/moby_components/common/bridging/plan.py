"""What a network record comes to on a bridge: its options read, nothing touched."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass

from moby_components.common.bridging import names
from moby_py.errors import InvalidArgument
from moby_py.model import NetworkRecord

NAME = "com.docker.network.bridge.name"
ICC = "com.docker.network.bridge.enable_icc"
MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
HOST_IP = "com.docker.network.bridge.host_binding_ipv4"
MTU = "com.docker.network.driver.mtu"
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for networks that do not say otherwise."""

    mtu: int = 1500
    icc: bool = True
    masquerade: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """One network. `gateways` with prefix length ("10.88.0.1/16"); `host_ip` is where ports are
    published that name no address ("" for everywhere)."""

    id: str
    name: str
    bridge: str
    mac: str
    mtu: int
    gateways: tuple[str, ...]
    subnets: tuple[str, ...]
    internal: bool
    icc: bool
    masquerade: bool
    host_ip: str
    ours: bool
    """Whether its bridge was made for it alone; one that `NAME` names may be somebody else's."""

    @property
    def ipv6(self) -> bool:
        return any(":" in subnet for subnet in self.subnets)


def make_plan(record: NetworkRecord, tag: str, defaults: Defaults) -> Plan:
    """Raises InvalidArgument for an option that cannot be meant. Unknown options are Docker's to
    ignore, and so they are here."""
    options = record.options
    given = options.get(NAME, "")
    if given and not _INTERFACE.fullmatch(given):
        raise InvalidArgument(f"{given[:100]!r} is no name for an interface - {NAME} takes up to 15 letters")
    gateways, subnets = _addresses(record)
    return Plan(
        id=record.id,
        name=record.name,
        bridge=given or names.bridge(tag, record.id),
        mac=names.mac(record.id),
        mtu=_mtu(options, defaults.mtu),
        gateways=gateways,
        subnets=subnets,
        internal=record.internal,
        icc=_flag(options, ICC, defaults.icc),
        masquerade=_flag(options, MASQUERADE, defaults.masquerade),
        host_ip=_host_ip(options),
        ours=not given,
    )


def _addresses(record: NetworkRecord) -> tuple[tuple[str, ...], tuple[str, ...]]:
    gateways, subnets = [], []
    for config in record.ipam.get("Config") or ():
        if not config.get("Subnet"):
            continue
        try:
            subnet = ipaddress.ip_network(config["Subnet"], strict=False)
            subnets.append(str(subnet))
            if config.get("Gateway"):
                gateway = ipaddress.ip_address(config["Gateway"].partition("/")[0])
                gateways.append(f"{gateway}/{subnet.prefixlen}")
        except ValueError as error:
            raise InvalidArgument(f"network {record.name}: {error}") from None
    return tuple(gateways), tuple(subnets)


def _flag(options: Mapping[str, str], key: str, default: bool) -> bool:
    value = options.get(key, "")
    if not value:
        return default
    if value not in _TRUE | _FALSE:
        raise InvalidArgument(f"{key} is {value[:100]!r} - it takes true or false")
    return value in _TRUE


def _mtu(options: Mapping[str, str], default: int) -> int:
    value = options.get(MTU, "")
    if not value:
        return default
    if not value.isascii() or not value.isdigit() or len(value) > 5 or not 68 <= int(value) <= 65535:
        raise InvalidArgument(f"{MTU} is {value[:100]!r} - it takes a number of bytes from 68 to 65535")
    return int(value) or default


def _host_ip(options: Mapping[str, str]) -> str:
    value = options.get(HOST_IP, "")
    if not value:
        return ""
    try:
        address = ipaddress.IPv4Address(value)
    except ValueError:
        shown = value[:100]
        raise InvalidArgument(f"{HOST_IP} is {shown!r} - it takes an IPv4 address of this host") from None
    return "" if address.is_unspecified else str(address)
