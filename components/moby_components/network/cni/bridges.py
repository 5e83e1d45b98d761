"""Bridges, and what the plugins leave open between them.

A small nftables table of our own keeps networks apart, with published ports open to all (the firewall
plugin's "same-bridge" closes those too, and its rules outlive the bridge), keeps internal networks in,
and closes 127.0.0.0/8, which portmap opens to packets from bridges (route_localnet).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from moby_components.common.netlink import Netlink, delete_link, list_links
from moby_components.common.nft import Nft


@dataclass(frozen=True, slots=True)
class Guarded:
    """A network as the table sees it: by its bridge, or, where each container has an interface of its
    own on the host (ptp), by its subnets."""

    bridge: str = ""
    subnets: tuple[str, ...] = ()
    internal: bool = False


def present(names: Iterable[str]) -> dict[str, bool]:
    """Those of the bridges that exist -> whether one has ports. Raises OSError."""
    with Netlink() as netlink:
        links = list(list_links(netlink))
    masters = {link.master for link in links if link.master}
    wanted = set(names)
    return {
        link.name: link.index in masters for link in links if link.kind == "bridge" and link.name in wanted
    }


def delete(name: str) -> None:
    """Delete a link. Idempotent. Raises OSError."""
    with Netlink() as netlink:
        netlink.send([delete_link(name)])


def guard(table: str, networks: Sequence[Guarded]) -> None:
    """Make the table say what holds for these networks, in one transaction; without any it goes.
    Raises MobyError (nftables)."""
    script = [f"table inet {table}", f"delete table inet {table}"]
    if networks:
        script += [f"table inet {table} {{", *_loopback(networks), *_apart(networks), "}"]
    with Nft() as nft:
        nft.run("\n".join(script))


def _loopback(networks: Sequence[Guarded]) -> list[str]:
    names = _set(n.bridge for n in networks)
    # From no other interface either: portmap turns what a machine on the same cable sends there.
    drop = ['iifname != "lo" ip daddr 127.0.0.0/8 drop'] if names else []
    return ["chain loopback {", "type filter hook prerouting priority raw; policy accept;", *drop, "}"]


def _apart(networks: Sequence[Guarded]) -> list[str]:
    bridges = _set(n.bridge for n in networks)
    routed = [n for n in networks if not n.bridge]
    rules = ["chain apart {", "type filter hook forward priority filter - 1; policy accept;"]
    for one in networks:
        if one.internal and one.bridge:
            rules.append(f'iifname "{one.bridge}" oifname != "{one.bridge}" drop')
            rules.append(f'oifname "{one.bridge}" iifname != "{one.bridge}" drop')
    for one in routed:
        for subnet in one.subnets if one.internal else ():
            family = _family(subnet)
            rules.append(f"{family} saddr {subnet} {family} daddr != {subnet} drop")
            rules.append(f"{family} daddr {subnet} {family} saddr != {subnet} drop")
    rules += ["ct state established,related accept", "ct status dnat accept"]
    for one in networks:
        if one.bridge:
            rules.append(f'iifname "{one.bridge}" oifname != "{one.bridge}" oifname {bridges} drop')
    for one in routed:
        for subnet in one.subnets:
            family = _family(subnet)
            if bridges:
                rules.append(f"{family} saddr {subnet} oifname {bridges} drop")
                rules.append(f"iifname {bridges} {family} daddr {subnet} drop")
            others = {s for n in routed if n is not one for s in n.subnets if _family(s) == family}
            rules += [f"{family} saddr {subnet} {family} daddr {other} drop" for other in sorted(others)]
    return [*rules, "}"]


def _set(names: Iterable[str]) -> str:
    found = sorted({name for name in names if name})
    return "{ " + ", ".join(f'"{name}"' for name in found) + " }" if found else ""


def _family(subnet: str) -> str:
    return "ip" if ipaddress.ip_network(subnet).version == 4 else "ip6"
