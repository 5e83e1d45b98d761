"""Links that only macvlan networks need, as netlink messages (linux/if_link.h)."""

from __future__ import annotations

import struct

from moby_components.common.netlink import wire
from moby_components.common.netlink.links import mac_bytes
from moby_components.common.netlink.wire import Message

MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}

_NEWLINK = 16
_ADDRESS, _IFNAME, _MTU, _LINK, _LINKINFO, _NET_NS_FD = 1, 3, 4, 5, 18, 28
_KIND, _DATA = 1, 2
_MACVLAN_MODE, _VLAN_ID = 1, 1
_INFO = struct.Struct("=BxHiII")
_NEW = wire.ACK | wire.CREATE | wire.EXCL


def add_macvlan(name: str, *, parent: int, mode: str, mac: str, mtu: int, sandbox: int) -> Message:
    """A macvlan link over `parent`, down, born in the namespace `sandbox` (a descriptor)."""
    body = _INFO.pack(0, 0, 0, 0, 0) + wire.text(_IFNAME, name) + wire.u32(_LINK, parent)
    body += wire.u32(_NET_NS_FD, sandbox)
    if mac:
        body += wire.attribute(_ADDRESS, mac_bytes(mac))
    if mtu:
        body += wire.u32(_MTU, mtu)
    data = wire.nested(_DATA, wire.u32(_MACVLAN_MODE, MODES[mode]))
    body += wire.nested(_LINKINFO, wire.text(_KIND, "macvlan"), data)
    return Message(_NEWLINK, _NEW, body, f"macvlan {name}")


def add_vlan(name: str, *, parent: int, id: int) -> Message:
    """The 802.1Q subinterface `id` of `parent`, down."""
    data = wire.nested(_DATA, wire.attribute(_VLAN_ID, struct.pack("=H", id)))
    info = wire.nested(_LINKINFO, wire.text(_KIND, "vlan"), data)
    body = _INFO.pack(0, 0, 0, 0, 0) + wire.text(_IFNAME, name) + wire.u32(_LINK, parent) + info
    return Message(_NEWLINK, _NEW, body, f"vlan {name}")
