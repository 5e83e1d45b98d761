"""The rules: two tables of one name, and what a network and an endpoint add to their sets.

The chains never change. A network is a few elements, an endpoint a few more, a published port one; so
adding and removing cost the same with one container and with a thousand, and a change is one
transaction.

`inet`    NAT, and what may be forwarded from and to our bridges. A verdict here is one among others: a
          packet still passes every chain of the host's own, before or after.
`bridge`  what a container sends must carry its own MAC and addresses, also inside ARP and neighbour
          discovery (an `inet` table sees neither ARP nor frames between two ports of a bridge).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from moby_components.common.bridging import names
from moby_components.common.bridging.legs import Leg
from moby_components.common.bridging.plan import Plan

WITNESS = {"inet": "internal", "bridge": "own6"}
"""A small set in each table: where it can be listed, the table is there."""

_INET = """
  set bridges { type ifname; }
  set internal { type ifname; }
  set neighbours { type ifname . ifname; }
  set subnets4 { type ipv4_addr; flags interval; }
  set subnets6 { type ipv6_addr; flags interval; }
  set masked4 { type ipv4_addr; flags interval; }
  set masked6 { type ipv6_addr; flags interval; }
  map at4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
  map at6 { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }
  map any4 { type inet_proto . inet_service : ipv4_addr . inet_service; }
  map any6 { type inet_proto . inet_service : ipv6_addr . inet_service; }

  chain loopback {
    type filter hook prerouting priority raw; policy accept;
    iifname @bridges ip daddr 127.0.0.0/8 drop
  }
  chain arriving {
    type nat hook prerouting priority dstnat; policy accept;
    iifname != "lo" ip daddr 127.0.0.0/8 return
    meta l4proto { tcp, udp } fib daddr type local goto published
  }
  chain from_host {
    type nat hook output priority -100; policy accept;
    meta l4proto { tcp, udp } fib daddr type local goto published
  }
  chain published {
    ip6 daddr ::1 return
    dnat ip to ip daddr . meta l4proto . th dport map @at4
    dnat ip to meta l4proto . th dport map @any4
    dnat ip6 to ip6 daddr . meta l4proto . th dport map @at6
    dnat ip6 to meta l4proto . th dport map @any6
  }
  chain leaving_host {
    type nat hook postrouting priority srcnat; policy accept;
    oifname @bridges goto to_container
    ip saddr @masked4 masquerade
    ip6 saddr @masked6 masquerade
  }
  chain to_container {
    ip saddr 127.0.0.0/8 masquerade
    ct status dnat ip saddr @subnets4 masquerade
    ct status dnat ip6 saddr @subnets6 masquerade
  }
  chain forward {
    type filter hook forward priority filter - 1; policy accept;
    iifname @bridges goto outward
    oifname @bridges goto inward
  }
  chain outward {
    iifname . oifname @neighbours accept
    ct state established,related accept
    iifname @internal drop
    oifname @internal drop
    ct status dnat accept
    oifname @bridges drop
  }
  chain inward {
    ct state established,related accept
    oifname @internal drop
    ct status dnat accept
    drop
  }
"""

_BRIDGE = """
  set own4 {{ type ifname . ether_addr . ipv4_addr; }}
  set own6 {{ type ifname . ether_addr . ipv6_addr; }}
  set claims6 {{ typeof meta iifname . @th,64,128; }}

  chain arriving {{
    type filter hook prerouting priority -300; policy accept;
    iifname "{veths}*" goto guard
  }}
  chain guard {{
    ether type ip meta iifname . ether saddr . ip saddr @own4 accept
    ether type arp meta iifname . ether saddr . arp saddr ip @own4 goto announcement
    ether type ip6 meta iifname . ether saddr . ip6 saddr @own6 goto discovery
    drop
  }}
  chain announcement {{
    meta iifname . arp saddr ether . arp saddr ip @own4 accept
    drop
  }}
  chain discovery {{
    icmpv6 type {{ nd-router-advert, nd-redirect }} drop
    icmpv6 type nd-neighbor-advert meta iifname . @th,64,128 != @claims6 drop
    accept
  }}
"""


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a set or a map of ours."""

    family: str
    set: str
    key: str
    value: str = ""


def of_network(plan: Plan) -> list[Element]:
    bridge = f'"{plan.bridge}"'
    found = [Element("inet", "bridges", bridge)]
    if plan.internal:
        found.append(Element("inet", "internal", bridge))
    if plan.icc:
        found.append(Element("inet", "neighbours", f"{bridge} . {bridge}"))
    for subnet in plan.subnets:
        version = ipaddress.ip_network(subnet).version
        found.append(Element("inet", f"subnets{version}", subnet))
        if plan.masquerade and not plan.internal:
            found.append(Element("inet", f"masked{version}", subnet))
    return found


def of_leg(leg: Leg) -> list[Element]:
    """What an endpoint may send, and the ports that lead to it."""
    found = []
    for text in leg.sources:
        address = ipaddress.ip_address(text)
        found.append(
            Element("bridge", f"own{address.version}", f'"{leg.veth}" . {leg.mac} . {address}'),
        )
        if address.version == 6:
            found.append(Element("bridge", "claims6", f'"{leg.veth}" . {int(address):#034x}'))
    for port in leg.ports:
        host = ipaddress.ip_address(port.host_ip)
        target = leg.ipv4 if host.version == 4 else leg.ipv6
        if not target:
            continue
        service = f"{port.protocol} . {port.host_port}"
        name, key = ("any", service) if host.is_unspecified else ("at", f"{host} . {service}")
        found.append(
            Element("inet", f"{name}{host.version}", key, f"{_bare(target)} . {port.container_port}")
        )
    return found


def added(table: str, elements: Sequence[Element]) -> str:
    return _script("add", table, elements)


def removed(table: str, elements: Sequence[Element]) -> str:
    return _script("delete", table, elements)


def whole(table: str, tag: str, elements: Iterable[Element]) -> str:
    """Both tables new with all elements, as one transaction: no packet sees them half made."""
    return (
        gone(table)
        + f"table inet {table} {{{_INET}}}\n"
        + f"table bridge {table} {{{_BRIDGE.format(veths=names.veths(tag))}}}\n"
        + _script("add", table, list(elements))
    )


def gone(table: str) -> str:
    """Remove both tables, whether they are there or not."""
    return "".join(
        f"add table {family} {table}\ndelete table {family} {table}\n" for family in ("inet", "bridge")
    )


def _script(verb: str, table: str, elements: Sequence[Element]) -> str:
    grouped: dict[tuple[str, str], list[str]] = {}
    for it in elements:
        text = f"{it.key} : {it.value}" if it.value and verb == "add" else it.key
        grouped.setdefault((it.family, it.set), []).append(text)
    return "".join(
        f"{verb} element {family} {table} {name} {{ {', '.join(texts)} }}\n"
        for (family, name), texts in grouped.items()
    )


def _bare(address: str) -> str:
    return address.partition("/")[0]
