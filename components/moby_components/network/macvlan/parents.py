"""The interface that a network's containers hang on: the host's, a VLAN of it, or one of our own.

A network without a parent gets a veth pair with nobody behind it: its containers reach each other and
nothing else (Docker takes a dummy interface, which not every kernel has). What we made carries an alias
with our name, by which it is found again: nothing else is ever removed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Callable

from moby_components.common.netlink import (
    Netlink,
    NetlinkError,
    add_veth,
    delete_link,
    list_links,
    set_link,
)
from moby_components.common.netlink.links import Link
from moby_components.network.macvlan.links import add_vlan
from moby_py.errors import InvalidArgument, NotFound, Unavailable

_VLAN = re.compile(r"(.+)\.(\d{1,4})")
_LAST_VLAN = 4094
_NO_KIND = (errno.EOPNOTSUPP, errno.ENOENT)


def ensure(owner: str, network: str, network_id: str, parent: str) -> str:
    """The parent's name; made where it is ours to make. Idempotent. Raises NotFound (no such
    interface), InvalidArgument (no VLAN number), Unavailable (the kernel has no VLANs)."""
    with Netlink() as netlink:
        links = {link.name: link for link in list_links(netlink)}
        if not parent:
            return _own(netlink, links, owner, network_id)
        if parent in links:
            return parent
        match = _VLAN.fullmatch(parent)
        base = links.get(match[1]) if match else None
        if match is None or base is None:
            raise NotFound(
                f"network {network}: the requested parent interface {parent} was not found on this host",
                hint="ip -br link shows the interfaces there are",
            )
        if not 0 < int(match[2]) <= _LAST_VLAN:
            raise InvalidArgument(f"network {network}: {match[2]} is no VLAN - it is a number from 1 to 4094")
        try:
            netlink.send([add_vlan(parent, parent=base.index, id=int(match[2]))])
        except NetlinkError as error:
            if error.errno not in _NO_KIND:
                raise
            raise Unavailable(
                f"network {network}: cannot make VLAN interface {parent} - this kernel has no 802.1Q VLANs",
                hint="modprobe 8021q, or make the interface yourself",
            ) from error
        alias = _alias(owner, network_id)
        netlink.send([set_link(parent, alias=alias), set_link(parent, up=True)])
        return parent


def remove(owner: str, network_id: str) -> None:
    """What `ensure` made for a network. Idempotent."""
    _remove(lambda alias: alias == _alias(owner, network_id))


def sweep(owner: str, keep: set[str]) -> None:
    """What was made for networks that are none of `keep` (ids)."""
    kept = {_alias(owner, id) for id in keep}
    _remove(lambda alias: alias.startswith(_alias(owner, "")) and alias not in kept)


def name_of(owner: str, network_id: str) -> str:
    """The interface made for a network without a parent; with "p" as its fourth letter, the far end."""
    owner, network_id = (hashlib.sha256(word.encode()).hexdigest() for word in (owner, network_id))
    return f"mvln{owner[:4]}{network_id[:7]}"


def _own(netlink: Netlink, links: dict[str, Link], owner: str, network_id: str) -> str:
    name = name_of(owner, network_id)
    peer = f"mvlp{name[4:]}"
    if name not in links:
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            netlink.send([add_veth(name, peer=peer, peer_mac="", mtu=1500, sandbox=here)])
        finally:
            os.close(here)
    ends = (name, peer)
    # No address of the host's on either end: containers must not find it behind an internal network.
    netlink.send([set_link(end, alias=_alias(owner, network_id)) for end in ends])
    netlink.send([set_link(end, link_local=False) for end in ends])
    netlink.send([set_link(end, up=True) for end in ends])
    return name


def _remove(ours: Callable[[str], bool]) -> None:
    with Netlink() as netlink:
        found = [link.name for link in list(list_links(netlink)) if ours(link.alias)]
        netlink.send([delete_link(name) for name in found])


def _alias(owner: str, network_id: str) -> str:
    return f"moby-py {owner} {network_id}"
