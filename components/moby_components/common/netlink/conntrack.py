"""Flows that the kernel remembers: UDP ones are forgotten when a published port changes hands.

A client that goes on sending from one port never begins a new flow, so it would go on reaching the
container that had the port before, or nobody. TCP begins anew by itself.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from collections.abc import Callable, Iterator

from moby_components.common.netlink import wire
from moby_components.common.netlink.sockets import NETFILTER, Netlink, NetlinkError
from moby_components.common.netlink.wire import Message

_GET, _DELETE = (1 << 8) | 1, (1 << 8) | 2
_ORIG, _REPLY, _ID, _FILTER = 1, 2, 12, 25
_IP, _PROTO = 1, 2
_V4_SRC, _V6_SRC = 1, 3
_NUMBER, _DST_PORT = 1, 3
_ORIG_FLAGS, _REPLY_FLAGS = 1, 2
_F_IP_SRC, _F_PROTO_NUM, _F_DST_PORT = 1, 1 << 3, 1 << 5
_UDP = socket.IPPROTO_UDP
_Fits = Callable[[bytes, bytes], bool]


def forget_udp_from(address: str) -> int:
    """Forget the flows that `address` answers (a container's, behind its published ports). Works in
    the calling thread's namespace; returns how many there were. Raises OSError."""
    it = ipaddress.ip_address(address)
    kind = _V4_SRC if it.version == 4 else _V6_SRC
    tuple_ = wire.nested(_REPLY, wire.nested(_IP, wire.attribute(kind, it.packed)), _udp())
    wanted = tuple_ + _filter(0, _F_IP_SRC | _F_PROTO_NUM)
    return _forget(_family(it.version), wanted, lambda _, reply: _inner(reply, _IP).get(kind) == it.packed)


def forget_udp_to(port: int, version: int) -> int:
    """Forget the flows to a port of the host, over IPv4 (4) or IPv6 (6)."""
    raw = struct.pack("!H", port)
    tuple_ = wire.nested(_ORIG, _udp(wire.attribute(_DST_PORT, raw)))
    wanted = tuple_ + _filter(_F_PROTO_NUM | _F_DST_PORT, 0)
    return _forget(_family(version), wanted, lambda orig, _: _inner(orig, _PROTO).get(_DST_PORT) == raw)


def _forget(family: int, wanted: bytes, fits: _Fits) -> int:
    with Netlink(NETFILTER) as flows:
        try:
            found = list(_matching(flows, family, wanted, fits))
        except NetlinkError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
            found = list(_matching(flows, family, b"", fits))  # before Linux 5.8: all of them
        flows.send([Message(_DELETE, wire.ACK, body, "forget a flow", absent_ok=True) for body in found])
        return len(found)


def _matching(flows: Netlink, family: int, wanted: bytes, fits: _Fits) -> Iterator[bytes]:
    head = struct.pack("=BBH", family, 0, 0)
    for answer in flows.dump(Message(_GET, wire.DUMP, head + wanted, "list flows")):
        found = wire.attributes(answer.body, 4)
        orig, reply = found.get(_ORIG, b""), found.get(_REPLY, b"")
        if _inner(orig, _PROTO).get(_NUMBER) == bytes([_UDP]) and fits(orig, reply):
            body = head + wire.attribute(_ORIG | wire.NESTED, orig)
            yield body + (wire.attribute(_ID, found[_ID]) if _ID in found else b"")


def _inner(data: bytes, kind: int) -> dict[int, bytes]:
    return wire.attributes(wire.attributes(data).get(kind, b""))


def _udp(*more: bytes) -> bytes:
    return wire.nested(_PROTO, wire.u8(_NUMBER, _UDP), *more)


def _filter(orig: int, reply: int) -> bytes:
    return wire.nested(_FILTER, wire.u32(_ORIG_FLAGS, orig), wire.u32(_REPLY_FLAGS, reply))


def _family(version: int) -> int:
    return socket.AF_INET if version == 4 else socket.AF_INET6
