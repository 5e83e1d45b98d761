"""Subnets that this host already reaches: a network of ours must not hide them."""

from __future__ import annotations

import ipaddress
import socket
import struct
from pathlib import Path

from moby_components.engine.moby.networking.pools import Net


def routed() -> list[Net]:
    """From /proc/net/route and /proc/net/ipv6_route, default routes and loopback left out."""
    return [*_routes4(), *_routes6()]


def _routes4() -> list[Net]:
    found: list[Net] = []
    for line in _lines("/proc/net/route")[1:]:
        words = line.split()
        if len(words) < 8:
            continue
        target = socket.inet_ntoa(struct.pack("<I", int(words[1], 16)))
        mask = bin(int(words[7], 16)).count("1")
        if mask:
            found.append(ipaddress.ip_network(f"{target}/{mask}", strict=False))
    return found


def _routes6() -> list[Net]:
    found: list[Net] = []
    for line in _lines("/proc/net/ipv6_route"):
        words = line.split()
        length = int(words[1], 16)
        net = ipaddress.IPv6Network((bytes.fromhex(words[0]), length), strict=False)
        if 0 < length < 128 and not (net.is_link_local or net.is_multicast or words[-1] == "lo"):
            found.append(net)
    return found


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="ascii").splitlines()
    except OSError:
        return []
