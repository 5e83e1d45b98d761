"""From the words of `docker network create` to a network configuration list, and back to what is wrong."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any

from moby_components.network.cni import conflist
from moby_components.network.cni.results import bandwidth
from moby_py.errors import InvalidArgument, Unsupported
from moby_py.model import NetworkRecord

WORDS = {"bridge": "bridge", "cni": "bridge", "ptp": "ptp", "macvlan": "macvlan"}
"""Driver word -> the interface plugin that serves it."""
MODES = ("bridge", "private", "vepa", "passthru")
INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")

_BRIDGE, _DRIVER = "com.docker.network.bridge.", "com.docker.network.driver."
_TRUE, _FALSE = ("1", "t", "true"), ("0", "f", "false")


def check(network: NetworkRecord) -> None:
    """Refuse what is known and malformed, or cannot be done. Raises InvalidArgument, Unsupported."""
    options = network.options
    plugin = WORDS.get(network.driver, "bridge")
    mtu(options)
    flag(options, f"{_BRIDGE}enable_ip_masquerade", default=True)
    if plugin == "bridge" and not flag(options, f"{_BRIDGE}enable_icc", default=True):
        raise Unsupported(
            f"network {network.name}: {_BRIDGE}enable_icc=false - the CNI bridge plugin cannot keep the "
            "containers of one network apart",
            hint="create it with a component that can, such as network/bridge",
        )
    for option in (f"{_BRIDGE}name", "parent"):
        if options.get(option) and not INTERFACE.fullmatch(options[option]):
            raise InvalidArgument(f"invalid {option}: {options[option]!r} is no interface name")
    host = options.get(f"{_BRIDGE}host_binding_ipv4")
    if host:
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            raise InvalidArgument(f"invalid {_BRIDGE}host_binding_ipv4: {host} is no IPv4 address") from None
    bandwidth(options)
    if plugin == "macvlan":
        if not options.get("parent"):
            raise Unsupported(
                f"network {network.name}: the CNI macvlan plugin needs a parent interface",
                hint="-o parent=eth0; a network without one is made by network/macvlan",
            )
        if options.get("macvlan_mode", "bridge") not in MODES:
            raise InvalidArgument(
                f"invalid macvlan_mode: {options['macvlan_mode']} - it is one of {', '.join(MODES)}"
            )


def rendered(network: NetworkRecord, platform: str, chain: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The list of a network that `check` has passed (or that another component made: what does not
    concern us is left out)."""
    plugin = WORDS.get(network.driver, "bridge")
    return conflist.rendered(
        plugin,
        name=name_of(network, platform),
        interface=network.options.get("parent", "") if plugin == "macvlan" else bridge_of(network, platform),
        internal=network.internal,
        masquerade=flag(network.options, f"{_BRIDGE}enable_ip_masquerade", default=True),
        mtu=mtu(network.options),
        mode=network.options.get("macvlan_mode", ""),
        chain=chain,
    )


def name_of(network: NetworkRecord, platform: str) -> str:
    """The CNI name: unique on the host, since plugins name their chains and leases by it."""
    return f"{platform}-{network.name if network.builtin else network.id[:12]}"


def bridge_of(network: NetworkRecord, platform: str) -> str:
    """The bridge's name: the user's, or one made of platform and network."""
    given = network.options.get(f"{_BRIDGE}name")
    return given or conflist.interface_name(platform, network.name if network.builtin else network.id)


def host_binding(network: NetworkRecord) -> str:
    """The host address for ports that were published without one."""
    return network.options.get(f"{_BRIDGE}host_binding_ipv4", "")


def mtu(options: Mapping[str, str]) -> int:
    """0 for the kernel's default. Raises InvalidArgument."""
    text = options.get(f"{_DRIVER}mtu", "")
    if not text:
        return 0
    if not text.isdecimal() or not 68 <= int(text) <= 65535:
        raise InvalidArgument(f"invalid {_DRIVER}mtu: {text} - it is a number from 68 to 65535")
    return int(text)


def flag(options: Mapping[str, str], name: str, *, default: bool) -> bool:
    """As Docker reads booleans. Raises InvalidArgument."""
    text = options.get(name, "").lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if text:
        raise InvalidArgument(f"invalid {name}: {options[name]} - it is true or false")
    return default
