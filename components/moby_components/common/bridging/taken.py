"""What the host has already: addresses and bridges of others, which a network must not take over."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from moby_components.common import netlink
from moby_components.common.bridging.plan import Plan
from moby_components.common.bridging.world import World
from moby_py.errors import Conflict, PermissionDenied

_OURS = "moby-py-"
"""How the alias of every interface begins that some platform of ours has made."""


def check_subnets(world: World, plan: Plan) -> None:
    """In the world's thread, for a network that a user asks for. Raises PermissionDenied where the
    host itself, or a gateway that it sends packets to, has an address in one of its subnets: the host
    would lose its way there."""
    subnets = [ipaddress.ip_network(subnet) for subnet in plan.subnets]
    own = world.index(plan.bridge)
    for what, address in (*_of_host(world, own), *_next_hops()):
        it = ipaddress.ip_address(address)
        for subnet in subnets:
            if it.version == subnet.version and it in subnet:
                raise PermissionDenied(
                    f"invalid pool request: {subnet} holds {address}, {what}",
                    hint="choose another subnet, or leave --subnet away",
                )


def check_bridge(world: World, link: netlink.Link, alias: str, plan: Plan) -> None:
    """A bridge that exists may be used, not taken over: it has no address yet, or is told to be the
    network's gateway with the address that it has. Raises Conflict."""
    if link.kind != "bridge":
        raise Conflict(f"{plan.bridge} exists and is not a bridge")
    if link.alias == alias:
        return
    if link.alias.startswith(_OURS):
        raise Conflict(f"the bridge {plan.bridge} belongs to another network of moby-py")
    for version in (4, 6):
        theirs = [a for a in _addresses(world, link.index) if a.version == version and not a.is_link_local]
        wanted = {ipaddress.ip_interface(gateway) for gateway in plan.gateways}
        if theirs and wanted.isdisjoint(theirs) and any(w.version == version for w in wanted):
            it = theirs[0]
            raise Conflict(
                f"the bridge {plan.bridge} is somebody else's - it has the address {it}",
                hint=f"to use it as it is: --subnet {it.network} --gateway {it.ip}",
            )


def _addresses(world: World, index: int) -> list[ipaddress.IPv4Interface | ipaddress.IPv6Interface]:
    return [ipaddress.ip_interface(text) for _, text in netlink.list_addresses(world.netlink, index)]


def _of_host(world: World, but: int) -> Iterator[tuple[str, str]]:
    names = {link.index: link.name for link in netlink.list_links(world.netlink)}
    for index, text in netlink.list_addresses(world.netlink):
        address = ipaddress.ip_interface(text).ip
        if index != but and not address.is_link_local and not address.is_loopback:
            yield f"the host's own address on {names.get(index, index)}", str(address)


def _next_hops() -> Iterator[tuple[str, str]]:
    for line in _lines("/proc/thread-self/net/route")[1:]:
        words = line.split()
        number = int(words[2], 16) if len(words) > 2 else 0
        if number:
            yield f"the gateway of a route of {words[0]}", socket.inet_ntoa(struct.pack("<I", number))
    for line in _lines("/proc/thread-self/net/ipv6_route"):
        words = line.split()
        hop = ipaddress.IPv6Address(bytes.fromhex(words[4]))
        if not (hop.is_unspecified or hop.is_link_local):
            yield f"the gateway of a route of {words[-1]}", str(hop)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="ascii").splitlines()
    except OSError:
        return []
