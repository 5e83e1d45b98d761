"""Links: bridges, veth pairs, ports of a bridge (man 7 rtnetlink, linux/if_link.h)."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from moby_components.common.netlink import wire
from moby_components.common.netlink.sockets import Netlink
from moby_components.common.netlink.wire import Message

UP = 1  # IFF_UP
_NEWLINK, _DELLINK, _GETLINK, _SETLINK = 16, 17, 18, 19
_ADDRESS, _IFNAME, _MTU, _MASTER, _LINKINFO, _IFALIAS, _AF_SPEC, _NET_NS_FD = 1, 3, 4, 10, 18, 20, 26, 28
_KIND, _DATA, _PORT_KIND, _PORT_DATA = 1, 2, 4, 5
_PEER = 1
_NF_CALL_IPTABLES, _NF_CALL_IP6TABLES = 36, 37
_HAIRPIN, _ISOLATED = 4, 33
_ADDR_GEN_MODE, _NO_LINK_LOCAL = 8, 1
_INFO = struct.Struct("=BxHiII")


@dataclass(frozen=True, slots=True)
class Link:
    """A link as the kernel lists it. `master` is the index of its bridge, 0 for none."""

    index: int
    name: str
    kind: str
    alias: str
    master: int
    up: bool
    mac: str
    mtu: int


def add_bridge(name: str, *, mac: str, mtu: int) -> Message:
    """A new bridge, down. `mac` stays the same whatever ports it gets. An alias is not taken at
    creation: `set_link` gives it."""
    body = _head() + wire.text(_IFNAME, name) + wire.attribute(_ADDRESS, mac_bytes(mac)) + wire.u32(_MTU, mtu)
    body += wire.nested(_LINKINFO, wire.text(_KIND, "bridge"))
    return Message(_NEWLINK, wire.ACK | wire.CREATE | wire.EXCL, body, f"bridge {name}")


def set_bridge(name: str, *, filtered: bool) -> Message:
    """Whether frames between ports pass the IP firewall (br_netfilter), whatever the host's default."""
    value = int(filtered)
    data = wire.u8(_NF_CALL_IPTABLES, value) + wire.u8(_NF_CALL_IP6TABLES, value)
    info = wire.nested(_LINKINFO, wire.text(_KIND, "bridge"), wire.nested(_DATA, data))
    return Message(_NEWLINK, wire.ACK, _head() + wire.text(_IFNAME, name) + info, f"bridge {name}")


def add_veth(name: str, *, peer: str, peer_mac: str, mtu: int, sandbox: int) -> Message:
    """A veth pair, down: `name` here, its peer born in the namespace `sandbox` (a descriptor) with
    the name and the MAC that it keeps."""
    there = _head() + wire.text(_IFNAME, peer) + wire.u32(_MTU, mtu)
    there += wire.u32(_NET_NS_FD, sandbox)
    if peer_mac:
        there += wire.attribute(_ADDRESS, mac_bytes(peer_mac))
    info = wire.text(_KIND, "veth") + wire.nested(_DATA, wire.attribute(_PEER, there))
    body = _head() + wire.text(_IFNAME, name) + wire.u32(_MTU, mtu) + wire.nested(_LINKINFO, info)
    return Message(_NEWLINK, wire.ACK | wire.CREATE | wire.EXCL, body, f"veth {name}")


def set_link(
    name: str = "",
    *,
    index: int = 0,
    up: bool | None = None,
    master: int | None = None,
    mac: str = "",
    mtu: int = 0,
    alias: str = "",
    link_local: bool = True,
) -> Message:
    """Change a link. `link_local=False`: no IPv6 link-local address is made for it; where `up` is
    given as well, the kernel brings it up first, so say that in a message before."""
    body = _head(index=index, flags=UP if up else 0, change=UP if up is not None else 0)
    if name:
        body += wire.text(_IFNAME, name)
    if mac:
        body += wire.attribute(_ADDRESS, mac_bytes(mac))
    if mtu:
        body += wire.u32(_MTU, mtu)
    if master is not None:
        body += wire.u32(_MASTER, master)
    if alias:
        body += wire.attribute(_IFALIAS, alias.encode()[:255])
    if not link_local:
        mode = wire.nested(socket.AF_INET6, wire.u8(_ADDR_GEN_MODE, _NO_LINK_LOCAL))
        body += wire.nested(_AF_SPEC, mode)
    return Message(_SETLINK, wire.ACK, body, f"link {name or index}")


def set_port(name: str, *, hairpin: bool, isolated: bool) -> Message:
    """Flags of a bridge's port: whether a frame may leave where it came in, and whether it reaches
    other isolated ports."""
    data = wire.u8(_HAIRPIN, hairpin) + wire.u8(_ISOLATED, isolated)
    info = wire.nested(_LINKINFO, wire.text(_PORT_KIND, "bridge"), wire.nested(_PORT_DATA, data))
    return Message(_NEWLINK, wire.ACK, _head() + wire.text(_IFNAME, name) + info, f"port {name}")


def delete_link(name: str) -> Message:
    """Remove a link; nothing happens where there is none of that name."""
    return Message(
        _DELLINK, wire.ACK, _head() + wire.text(_IFNAME, name), f"delete link {name}", absent_ok=True
    )


def list_links(netlink: Netlink) -> Iterator[Link]:
    """Every link of the namespace."""
    for answer in netlink.dump(Message(_GETLINK, wire.DUMP, _head(), "list links")):
        if answer.type == _NEWLINK:
            _family, _type, index, flags, _change = _INFO.unpack_from(answer.body)
            found = wire.attributes(answer.body, _INFO.size)
            info = wire.attributes(found.get(_LINKINFO, b""))
            yield Link(
                index=index,
                name=_string(found.get(_IFNAME)),
                kind=_string(info.get(_KIND)),
                alias=_string(found.get(_IFALIAS)),
                master=int.from_bytes(found.get(_MASTER, b""), sys.byteorder),
                up=bool(flags & UP),
                mac=found.get(_ADDRESS, b"").hex(":"),
                mtu=int.from_bytes(found.get(_MTU, b""), sys.byteorder),
            )


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", "").replace("-", ""))


def _head(*, index: int = 0, flags: int = 0, change: int | None = None) -> bytes:
    return _INFO.pack(0, 0, index, flags, flags if change is None else change)


def _string(data: bytes | None) -> str:
    return (data or b"").rstrip(b"\0").decode(errors="replace")
