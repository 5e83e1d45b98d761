"""A sandbox's links and routes where another program made them: find, move, rename, put routes right.

What `common.netlink` has for making a leg of one's own, this has for taking over somebody else's (the
netavark program, a remote driver). Every function works in the network namespace of the calling
thread: wrap it in `netns.run_in` for a sandbox. All raise OSError.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
from collections.abc import Iterable, Iterator

from moby_components.common import netlink
from moby_components.common.netlink import Netlink, wire
from moby_components.common.netlink.links import Link, list_links
from moby_components.common.netlink.wire import Message

__all__ = [
    "Link",
    "add_stand_in",
    "delete",
    "find",
    "list_links",
    "move",
    "reflect_newest",
    "set_default_routes",
    "take",
]

_SETLINK, _DELROUTE, _GETROUTE, _NEWROUTE = 19, 25, 26, 24
_IFNAME, _NET_NS_FD = 3, 28
_RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_MULTIPATH = 4, 5, 6, 9
_INFO = struct.Struct("=BxHiII")
_ROUTE = struct.Struct("=BBBBBBBBI")
_MAIN = 254


def find(name: str) -> Link | None:
    """The link of that name here, or None."""
    with Netlink() as socket_:
        return next((link for link in list_links(socket_) if link.name == name), None)


def delete(name: str) -> None:
    """Delete a link. Idempotent."""
    with Netlink() as socket_:
        socket_.send([netlink.delete_link(name)])


def add_stand_in(name: str) -> None:
    """An interface of that name that leads nowhere (a bridge without ports: every kernel that has
    container networks has bridges, not every one has dummy links)."""
    with Netlink() as socket_:
        socket_.send([netlink.add_bridge(name, mac="02:00:00:00:00:01", mtu=1500)])


def reflect_newest(bridge: str) -> None:
    """The newest port of a bridge may get its own frames back (hairpin): where br_netfilter is loaded
    a container needs that to reach a port which it publishes itself."""
    with Netlink() as socket_:
        found = list(list_links(socket_))
        index = next((link.index for link in found if link.name == bridge), -1)
        ports = [link for link in found if link.master == index]
        if ports:
            newest = max(ports, key=lambda link: link.index)
            socket_.send([netlink.set_port(newest.name, hairpin=True, isolated=False)])


def move(index: int, namespace: int, name: str = "") -> None:
    """Move link `index` into the namespace of a descriptor, under a new name where one is given. The
    kernel takes its addresses and routes away and sets it down."""
    body = _INFO.pack(0, 0, index, 0, netlink.UP) + wire.u32(_NET_NS_FD, namespace)
    if name:
        body += wire.text(_IFNAME, name)
    with Netlink() as socket_:
        socket_.send([Message(_SETLINK, wire.ACK, body, f"interface {name or index}")])


def take(
    name: str,
    *,
    mac: str = "",
    addresses: Iterable[str] = (),
    gateways: Iterable[str] = (),
    routes: Iterable[tuple[str, str]] = (),
) -> None:
    """Furnish link `name`: MAC, addresses with prefix length, up, then routes (destination, next hop;
    "" for directly connected ones) and default routes. The loopback comes up too."""
    index = socket.if_nametoindex(name)
    messages = [netlink.set_link("lo", up=True)]
    if mac:
        messages.append(netlink.set_link(index=index, mac=mac))
    messages.append(netlink.set_link(index=index, up=True))
    messages += [netlink.add_address(index, address) for address in addresses]
    # Directly connected destinations first: a next hop may be among them.
    ordered = sorted(routes, key=lambda route: bool(route[1]))
    messages += [netlink.add_route(index, destination, hop) for destination, hop in ordered]
    messages += [netlink.add_route(index, _everything(gateway), gateway) for gateway in gateways]
    with Netlink() as socket_:
        socket_.send(messages)


def set_default_routes(name: str, gateways: Iterable[str]) -> None:
    """Of the default routes over link `name` only those by `gateways` remain. Idempotent."""
    index = socket.if_nametoindex(name)
    with Netlink() as socket_:
        stale = [
            message
            for family in (socket.AF_INET, socket.AF_INET6)
            for message in _defaults(socket_, family, index)
        ]
        socket_.send(
            [*stale, *(netlink.add_route(index, _everything(gateway), gateway) for gateway in gateways)]
        )


def _everything(gateway: str) -> str:
    return "::/0" if ipaddress.ip_address(gateway).version == 6 else "0.0.0.0/0"


def _defaults(socket_: Netlink, family: int, index: int) -> Iterator[Message]:
    """Deletions of the default routes over one link. Read to the end before anything is sent."""
    request = Message(_GETROUTE, wire.DUMP, _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0), "list routes")
    found = []
    for answer in socket_.dump(request):
        if answer.type != _NEWROUTE:
            continue
        of, length, _, _, table, *_ = _ROUTE.unpack_from(answer.body)
        values = wire.attributes(answer.body, _ROUTE.size)
        gateway = _gateway(values, index)
        if of == family and not length and table == _MAIN and gateway is not None:
            body = _ROUTE.pack(family, 0, 0, 0, _MAIN, 0, 0, 0, 0) + wire.u32(_RTA_OIF, index)
            if gateway:
                body += wire.attribute(_RTA_GATEWAY, gateway)
            if _RTA_PRIORITY in values:
                body += wire.attribute(_RTA_PRIORITY, values[_RTA_PRIORITY])
            found.append(Message(_DELROUTE, wire.ACK, body, "default route", absent_ok=True))
    yield from found


def _gateway(values: dict[int, bytes], index: int) -> bytes | None:
    """The gateway of this route over link `index` (b"": none), or None where it leads elsewhere. IPv6
    default routes of the same metric are one route of several hops."""
    if int.from_bytes(values.get(_RTA_OIF, b""), sys.byteorder) == index:
        return values.get(_RTA_GATEWAY, b"")
    hops, offset = values.get(_RTA_MULTIPATH, b""), 0
    while offset + 8 <= len(hops):
        size, _, _, where = struct.unpack_from("=HBBi", hops, offset)
        if size < 8:
            break
        if where == index:
            return wire.attributes(hops[offset : offset + size], 8).get(_RTA_GATEWAY, b"")
        offset += size + -size % 4
    return None
