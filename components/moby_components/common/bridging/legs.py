"""One container's leg on a bridge: the veth pair, its addresses, its routes."""

from __future__ import annotations

import ipaddress
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from moby_components.common import netlink
from moby_components.common.netlink import Netlink
from moby_py.model import Attachment, AttachRequest, PortBinding


@dataclass(frozen=True, slots=True)
class Leg:
    """An endpoint as it is on the host. Addresses with prefix length, "" where there are none."""

    network_id: str
    veth: str
    mac: str
    ipv4: str
    ipv6: str
    ports: tuple[PortBinding, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """The addresses it may send from: its own, and with IPv6 the link-local one."""
        found = [address.partition("/")[0] for address in (self.ipv4, self.ipv6) if address]
        return (*found, link_local(self.mac)) if self.ipv6 else tuple(found)

    @property
    def address(self) -> str:
        """The address that errors name."""
        return (self.ipv4 or self.ipv6).partition("/")[0]


def link_local(mac: str) -> str:
    """The link-local address that the kernel derives from a MAC (RFC 4291, appendix A)."""
    raw = bytes.fromhex(mac.replace(":", ""))
    host = bytes([raw[0] ^ 2, raw[1], raw[2], 0xFF, 0xFE, *raw[3:]])
    return str(ipaddress.IPv6Address(bytes.fromhex("fe80000000000000") + host))


def plug(
    world: Netlink, leg: Leg, sandbox: int, interface: str, *, bridge: int, mtu: int, alias: str
) -> None:
    """The pair, its host end a port of `bridge` (an index) and up; the other waits in the sandbox.
    `alias` tells whose it is."""
    world.send(
        [
            netlink.add_veth(leg.veth, peer=interface, peer_mac=leg.mac, mtu=mtu, sandbox=sandbox),
            netlink.set_link(leg.veth, master=bridge, alias=alias, link_local=False),
            netlink.set_link(leg.veth, up=True),
        ]
    )


def before_plugging(ipv6: bool) -> None:
    """In the sandbox: interfaces made from now on take no addresses or routes from strangers, and
    have theirs at once. Without IPv6 on this network the interface has none at all, as in Docker."""
    folder = Path("/proc/sys/net/ipv6/conf/default")
    if folder.is_dir():
        for name, value in (("accept_ra", "0"), ("accept_dad", "0"), ("disable_ipv6", "01"[not ipv6])):
            (folder / name).write_text(value)


def furnish(request: AttachRequest, leg: Leg) -> None:
    """In the sandbox: the loopback and the interface up, addresses, the default route."""
    with Netlink() as inside:
        index = socket.if_nametoindex(request.interface)
        messages = [netlink.set_link("lo", up=True), netlink.set_link(index=index, up=True)]
        messages += [netlink.add_address(index, address) for address in (leg.ipv4, leg.ipv6) if address]
        if request.default_route:
            if request.gateway4 and leg.ipv4:
                messages.append(netlink.add_route(index, "0.0.0.0/0", bare(request.gateway4)))
            if request.gateway6 and leg.ipv6:
                messages.append(netlink.add_route(index, "::/0", bare(request.gateway6)))
        inside.send(messages)


def attachment(request: AttachRequest, leg: Leg) -> Attachment:
    return Attachment(
        container_id=request.container_id,
        network_id=request.network_id,
        endpoint_id=request.endpoint_id,
        interface=request.interface,
        mac=leg.mac,
        ipv4=leg.ipv4,
        ipv6=leg.ipv6,
        gateway4=request.gateway4,
        gateway6=request.gateway6,
        ports=leg.ports,
    )


def bare(address: str) -> str:
    return address.partition("/")[0]


def open_sandbox(path: str) -> int:
    """A descriptor of a namespace file. Raises OSError."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
