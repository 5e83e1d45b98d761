"""Default routes of a namespace: seen, and moved to another link (man 7 rtnetlink, linux/rtnetlink.h)."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from moby_components.common.netlink import wire
from moby_components.common.netlink.addresses import add_route
from moby_components.common.netlink.sockets import Netlink
from moby_components.common.netlink.wire import Message

_NEWROUTE, _DELROUTE, _GETROUTE = 24, 25, 26
_OIF, _GATEWAY, _PRIORITY, _TABLE = 4, 5, 6, 15
_MAIN, _NOWHERE, _CLONED = 254, 255, 0x200
_HEAD = struct.Struct("=BBBBBBBBI")
FAMILIES = {4: (socket.AF_INET, "0.0.0.0/0"), 6: (socket.AF_INET6, "::/0")}


@dataclass(frozen=True, slots=True)
class DefaultRoute:
    """`gateway` is "" for one straight onto the link; `index` 0 for one over several links."""

    version: int
    index: int
    gateway: str
    metric: int


def default_routes(netlink: Netlink, version: int) -> list[DefaultRoute]:
    """Those of the main table, IP `version` 4 or 6."""
    return list(_found(netlink, version))


def _found(netlink: Netlink, version: int) -> Iterator[DefaultRoute]:
    family, _ = FAMILIES[version]
    body = _HEAD.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
    for answer in netlink.dump(Message(_GETROUTE, wire.DUMP, body, "list routes")):
        if answer.type != _NEWROUTE:
            continue
        theirs, length, _, _, table, _, _, _, flags = _HEAD.unpack_from(answer.body)
        found = wire.attributes(answer.body, _HEAD.size)
        if theirs != family or length or flags & _CLONED or _number(found, _TABLE, table) != _MAIN:
            continue
        gateway = found.get(_GATEWAY, b"")
        yield DefaultRoute(
            version,
            _number(found, _OIF, 0),
            str(ipaddress.ip_address(gateway)) if gateway else "",
            _number(found, _PRIORITY, 0),
        )


def _number(found: dict[int, bytes], kind: int, default: int) -> int:
    return int(struct.unpack("=I", found[kind])[0]) if kind in found else default


def delete_default(route: DefaultRoute) -> Message:
    """It alone goes; it may be gone already."""
    family, destination = FAMILIES[route.version]
    body = _HEAD.pack(family, 0, 0, 0, _MAIN, 0, _NOWHERE, 0, 0)
    if route.index:
        body += wire.u32(_OIF, route.index)
    if route.gateway:
        body += wire.attribute(_GATEWAY, ipaddress.ip_address(route.gateway).packed)
    if route.metric:
        body += wire.u32(_PRIORITY, route.metric)
    return Message(_DELROUTE, wire.ACK, body, f"route to {destination}", absent_ok=True)


def set_default(netlink: Netlink, index: int, gateways: dict[int, str]) -> None:
    """The default route of each IP version in `gateways` goes over link `index` and by this gateway, in
    one step where there was one; all others go. "" leaves none. Raises OSError."""
    for version, gateway in gateways.items():
        old = default_routes(netlink, version)
        if gateway:
            wanted = str(ipaddress.ip_address(gateway))
            same = [r for r in old if (r.index, r.gateway) == (index, wanted)]
            if not same:
                netlink.send([add_route(index, FAMILIES[version][1], wanted)])
            old = [r for r in default_routes(netlink, version) if (r.index, r.gateway) != (index, wanted)]
        netlink.send([delete_default(route) for route in old])
