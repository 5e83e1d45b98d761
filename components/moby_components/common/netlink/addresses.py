"""Addresses and routes (man 7 rtnetlink, linux/if_addr.h, linux/rtnetlink.h)."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator

from moby_components.common.netlink import wire
from moby_components.common.netlink.sockets import Netlink
from moby_components.common.netlink.wire import Message

_NEWADDR, _DELADDR, _GETADDR, _NEWROUTE = 20, 21, 22, 24
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_FLAGS, _IFA_PROTO = 1, 2, 4, 8, 11
_OURS = bytes((0x6D,))
_NODAD, _NOPREFIXROUTE = 0x02, 0x200
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PREFSRC = 1, 4, 5, 7
_MAIN, _BOOT, _UNIVERSE, _LINK, _UNICAST = 254, 3, 0, 253, 1
_ADDRESS_HEAD = struct.Struct("=BBBBI")
_ROUTE_HEAD = struct.Struct("=BBBBBBBBI")


def add_address(index: int, address: str, *, marked: bool = False) -> Message:
    """Give link `index` an address "10.88.0.2/16", usable at once: IPv6 without duplicate address
    detection, which would keep it from use for a second. `marked`: `list_addresses` can tell it from
    those of others (since Linux 5.18)."""
    flags = wire.CREATE | wire.REPLACE
    return _address(_NEWADDR, flags, index, address, present_ok=True, marked=marked)


def delete_address(index: int, address: str) -> Message:
    return _address(_DELADDR, 0, index, address, absent_ok=True)


def _address(
    kind: int,
    flags: int,
    index: int,
    address: str,
    *,
    present_ok: bool = False,
    absent_ok: bool = False,
    marked: bool = False,
) -> Message:
    it = ipaddress.ip_interface(address)
    family = socket.AF_INET if it.version == 4 else socket.AF_INET6
    body = _ADDRESS_HEAD.pack(family, it.network.prefixlen, _NODAD, _UNIVERSE, index)
    body += wire.attribute(_IFA_LOCAL, it.packed) + wire.attribute(_IFA_ADDRESS, it.packed)
    if it.version == 4 and it.network.prefixlen < 31:
        body += wire.attribute(_IFA_BROADCAST, it.network.broadcast_address.packed)
    if marked:
        body += wire.attribute(_IFA_PROTO, _OURS)
    return Message(
        kind, wire.ACK | flags, body, f"address {address}", absent_ok=absent_ok, present_ok=present_ok
    )


def add_route(index: int, destination: str, gateway: str = "") -> Message:
    """A route to "10.5.0.0/16" ("0.0.0.0/0", "::/0" for all) over link `index`, by `gateway` or
    directly; it takes the place of one to the same destination."""
    network = ipaddress.ip_network(destination)
    family = socket.AF_INET if network.version == 4 else socket.AF_INET6
    scope = _UNIVERSE if gateway or network.version == 6 else _LINK
    body = _ROUTE_HEAD.pack(family, network.prefixlen, 0, 0, _MAIN, _BOOT, scope, _UNICAST, 0)
    if network.prefixlen:
        body += wire.attribute(_RTA_DST, network.network_address.packed)
    if gateway:
        body += wire.attribute(_RTA_GATEWAY, ipaddress.ip_address(gateway).packed)
    body += wire.u32(_RTA_OIF, index)
    flags = wire.ACK | wire.CREATE | wire.REPLACE
    return Message(_NEWROUTE, flags, body, f"route to {destination}" + (f" by {gateway}" if gateway else ""))


def list_addresses(netlink: Netlink, index: int = 0, *, marked: bool = False) -> Iterator[tuple[int, str]]:
    """(index of the link, "10.88.0.1/16") of every address, or of one link's; the marked ones only
    with `marked`."""
    body = _ADDRESS_HEAD.pack(0, 0, 0, 0, index)
    for answer in netlink.dump(Message(_GETADDR, wire.DUMP, body, "list addresses")):
        if answer.type == _NEWADDR:
            _family, length, _flags, _scope, where = _ADDRESS_HEAD.unpack_from(answer.body)
            found = wire.attributes(answer.body, _ADDRESS_HEAD.size)
            packed = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS)
            if marked and found.get(_IFA_PROTO) != _OURS:
                continue
            if packed and (not index or where == index):
                yield where, f"{ipaddress.ip_address(packed)}/{length}"
