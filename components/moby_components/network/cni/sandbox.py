"""Around the plugins' work inside a sandbox: loopback, default route, and a stand-in for one that is gone.

Blocking calls of under a millisecond; the callers run them in a thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

from moby_components.common.mounts import pin_network_namespace, umount
from moby_components.common.netlink import (
    Netlink,
    add_address,
    add_route,
    add_veth,
    list_links,
    set_link,
)
from moby_components.common.netns import CLONE_NEWNET, run_in

_NS_GET_NSTYPE = 0xB703


def is_namespace(path: str) -> bool:
    """Whether the file is a network namespace (an unmounted one is an empty file)."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return fcntl.ioctl(fd, _NS_GET_NSTYPE) == CLONE_NEWNET
    except OSError:
        return False
    finally:
        os.close(fd)


def prepare(netns: str, *, ipv6: bool) -> None:
    """Loopback up. With IPv6, new interfaces use their addresses at once: the engine gives each only
    once, and duplicate address detection takes a second. Raises OSError."""

    def work() -> None:
        with Netlink() as netlink:
            netlink.send([set_link("lo", up=True)])
        if ipv6:
            with contextlib.suppress(OSError):  # a kernel without IPv6 says so later, in the plugin's words
                Path("/proc/sys/net/ipv6/conf/default/accept_dad").write_text("0")

    run_in(netns, work)


def has_interface(netns: str, name: str, mac: str) -> bool:
    """Whether the namespace has that interface with that MAC ("": any)."""

    def work() -> bool:
        with Netlink() as netlink:
            return any(
                link.name == name and mac.lower() in ("", link.mac) for link in list(list_links(netlink))
            )

    try:
        return run_in(netns, work)
    except OSError:
        return False


def restore(netns: str, name: str, addresses: Sequence[str]) -> None:
    """Give an interface its addresses back. gVisor takes them away when it starts, for its own stack,
    and the plugins' DEL finds what there is to undo by them. Raises OSError."""

    def work() -> None:
        with Netlink() as netlink:
            index = socket.if_nametoindex(name)
            netlink.send([add_address(index, address) for address in addresses])

    run_in(netns, work)


def route_default(netns: str, name: str, gateways: Sequence[str]) -> None:
    """Default routes over interface `name`. Set here and not by the plugins: the engine moves them when
    a container joins or leaves another network, and CHECK would miss them. Raises OSError."""

    def work() -> None:
        with Netlink() as netlink:
            index = socket.if_nametoindex(name)
            netlink.send([add_route(index, "::/0" if ":" in g else "0.0.0.0/0", g) for g in gateways])

    run_in(netns, work)


@contextlib.contextmanager
def stand_in(path: Path, name: str, addresses: Sequence[str]) -> Iterator[str]:
    """A namespace that looks like the one that is gone: it has interface `name` with `addresses`.
    Plugins find out by these what they did on the host, and take it down. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        umount(path, lazy=True)
        path.unlink()
    pin_network_namespace(path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

        def work() -> None:
            with Netlink() as netlink:
                netlink.send([add_veth("peer", peer=name, peer_mac="", mtu=1500, sandbox=fd)])
                index = socket.if_nametoindex(name)
                netlink.send([set_link(name, up=True), *(add_address(index, a) for a in addresses)])

        try:
            run_in(path, work)
        finally:
            os.close(fd)
        yield str(path)
    finally:
        with contextlib.suppress(OSError):
            umount(path, lazy=True)
            path.unlink(missing_ok=True)


def gateways_of(gateway4: str, gateway6: str, address4: str, address6: str) -> list[str]:
    """The gateways that an interface with these addresses can use."""
    pairs = ((gateway4, address4), (gateway6, address6))
    return [str(ipaddress.ip_address(gateway)) for gateway, address in pairs if gateway and address]
