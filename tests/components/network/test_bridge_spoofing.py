"""A container with CAP_NET_RAW and CAP_NET_ADMIN forges frames: none of them gets past its own veth.

Each frame is sent from container c2 as raw bytes. Who watches is its neighbour c3 and the host's end of
the bridge; the same frame with c2's own addresses is the control.
"""

from __future__ import annotations

import ipaddress
import select
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.bridging import cut_off, network, off, opened, request
from support.worlds import World, command, world

pytestmark = pytest.mark.root
OWN, VICTIM, GATEWAY = "02:42:99:00:00:02", "02:42:99:00:00:03", "02:42:99:00:00:99"
MARK = b"forged-or-not"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def ether(source: str, kind: int, data: bytes, target: str = "ff:ff:ff:ff:ff:ff") -> bytes:
    return mac(target) + mac(source) + struct.pack("!H", kind) + data


def arp(source: str, sender_mac: str, sender: str, *, operation: int = 2) -> bytes:
    head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    body = mac(sender_mac) + socket.inet_aton(sender) + mac(VICTIM) + socket.inet_aton("10.9.0.3")
    return ether(source, 0x0806, head + body + MARK)


def ip4(source: str, sender: str) -> bytes:
    data = struct.pack("!4H", 9, 9, 8 + len(MARK), 0) + MARK
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(data), 1, 0, 64, 17, 0)
    head += socket.inet_aton(sender) + socket.inet_aton("10.9.255.255")
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + head[12:]
    return ether(source, 0x0800, head + data)


def ip6(source: str, sender: str, data: bytes, following: int = 17) -> bytes:
    head = struct.pack("!IHBB", 6 << 28, len(data), following, 255)
    addresses = socket.inet_pton(socket.AF_INET6, sender) + socket.inet_pton(socket.AF_INET6, "ff02::1")
    return ether(source, 0x86DD, head + addresses + data, "33:33:00:00:00:01")


def advertisement(sender: str, target: str, *, kind: int = 136, hidden: bool = False) -> bytes:
    data = struct.pack("!BBHI", kind, 0, 0, 0xA0000000) + socket.inet_pton(socket.AF_INET6, target)
    data += bytes([2, 1]) + mac(OWN) + MARK
    if hidden:  # behind an extension header
        return ip6(OWN, sender, bytes([58, 0, 1, 4, 0, 0, 0, 0]) + data, 60)
    return ip6(OWN, sender, data, 58)


def link_local(number: int) -> str:
    return str(ipaddress.IPv6Address(f"fe80::42:99ff:fe00:{number:x}"))


FORGED = {
    "the neighbour's MAC": ip4(VICTIM, "10.9.0.2"),
    "the neighbour's address": ip4(OWN, "10.9.0.3"),
    "MAC and address of the neighbour": ip4(VICTIM, "10.9.0.3"),
    "the gateway's address": ip4(OWN, "10.9.0.1"),
    "an address of nobody": ip4(OWN, "198.51.100.1"),
    "no address": ip4(OWN, "0.0.0.0"),
    "ARP for the neighbour's address": arp(OWN, OWN, "10.9.0.3"),
    "ARP for the gateway": arp(OWN, OWN, "10.9.0.1"),
    "ARP request as the gateway": arp(OWN, OWN, "10.9.0.1", operation=1),
    "ARP with another MAC inside": arp(OWN, VICTIM, "10.9.0.2"),
    "ARP from another MAC": arp(VICTIM, OWN, "10.9.0.2"),
    "the neighbour's IPv6 address": ip6(OWN, "fd00:9::3", MARK),
    "the neighbour's link-local address": ip6(OWN, link_local(3), MARK),
    "NDP for the neighbour": advertisement("fd00:9::2", "fd00:9::3"),
    "NDP for the gateway": advertisement("fd00:9::2", "fd00:9::1"),
    "NDP for the gateway, hidden": advertisement("fd00:9::2", "fd00:9::1", hidden=True),
    "a router advertisement": advertisement(link_local(2), "fd00:9::2", kind=134),
    "a redirect": advertisement(link_local(2), "fd00:9::2", kind=137),
    "a VLAN tag": ether(OWN, 0x8100, struct.pack("!HH", 5, 0x0800) + ip4(OWN, "10.9.0.3")[14:]),
    "another protocol": ether(OWN, 0x88B5, MARK),
    "spanning tree": ether(OWN, 0x0027, b"\x42\x42\x03" + MARK, "01:80:c2:00:00:00"),
}
HONEST = {
    "IPv4": ip4(OWN, "10.9.0.2"),
    "ARP": arp(OWN, OWN, "10.9.0.2"),
    "IPv6": ip6(OWN, "fd00:9::2", MARK),
    "link-local": ip6(OWN, link_local(2), MARK),
    "NDP": advertisement("fd00:9::2", "fd00:9::2"),
    "NDP, link-local": advertisement(link_local(2), link_local(2)),
}


def watch(interface: str) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.ntohs(3))
    made.bind((interface, 0))
    return made


def seen(watchers: dict[str, socket.socket], wait: float) -> set[str]:
    """Who of the watchers sees the mark before the time is over."""
    found: set[str] = set()
    end = time.monotonic() + wait
    while len(found) < len(watchers) and (left := end - time.monotonic()) > 0:
        ready, _, _ = select.select(list(watchers.values()), [], [], left)
        found |= {
            name for name, watcher in watchers.items() if watcher in ready and MARK in watcher.recv(9000)
        }
    return found


def test_forged_frames_are_contained_and_honest_ones_are_not(tmp_path: Path, host: World) -> None:
    def send(frame: bytes) -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
            sender.bind(("eth0", 0))
            sender.send(frame)

    def rounds(bridge: str) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
        watchers = {
            "neighbour": host.inside("c3", lambda: watch("eth0")),
            "host": host.inside("host", lambda: watch(bridge)),
        }
        try:
            results: list[dict[str, set[str]]] = []
            for frames, wait in ((HONEST, 2.0), (FORGED, 0.1)):
                results.append({})
                for name, frame in frames.items():
                    host.inside("c2", lambda frame=frame: send(frame))  # type: ignore[misc]
                    results[-1][name] = seen(watchers, wait)
            return results[0], results[1]
        finally:
            for watcher in watchers.values():
                watcher.close()

    async def story() -> None:
        async with opened(tmp_path, network()) as it:
            for number in (2, 3):
                await it.attach(request(host, network(), number))
            bridge = next(name for _, name in socket.if_nameindex() if name.startswith("mb"))
            honest, forged = await off(rounds, bridge)
            assert honest == {key: {"neighbour", "host"} for key in HONEST}
            assert forged == {key: set() for key in FORGED}

    host.play(story)


def test_a_container_that_takes_its_neighbours_address_reaches_nobody(tmp_path: Path, host: World) -> None:
    def take_over() -> None:
        command("ip", "addr", "add", "10.9.0.3/16", "dev", "eth0")
        command("ip", "link", "set", "eth0", "address", VICTIM)

    async def story() -> None:
        async with opened(tmp_path, network()) as it:
            for number in (2, 3, 4):
                await it.attach(request(host, network(), number))
            await off(host.serve, "c2", 80, words=b"thief")
            await off(host.serve, "c3", 80, words=b"victim")
            await off(lambda: host.inside("c2", take_over))
            for _ in range(3):
                assert await cut_off(host, "c2", "10.9.0.4", 80)
                assert await off(host.ask, "c4", "10.9.0.3", 80) == b"victim"
                assert await off(host.ask, "host", "10.9.0.3", 80) == b"victim"

    host.play(story)
