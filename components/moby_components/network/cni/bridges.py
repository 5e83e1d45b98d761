"""What the plugins leave on the host and never take down, and what they leave open.

The `bridge` plugin deletes no bridge, `firewall` no isolation rule of one: both go here when a network
goes. And two holes are closed by a small table of our own: portmap lets 127.0.0.0/8 in from bridges
(route_localnet), and nothing keeps the host from forwarding for a network that is internal. The chains
that all CNI users of a host share (CNI-FORWARD, CNI-HOSTPORT-DNAT, ...) stay, empty: taking them away
would break another user's ADD that is under way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from moby_components.common.netlink import Netlink, delete_link, list_links
from moby_components.common.nft import Nft
from moby_components.common.processes import run
from moby_py.errors import MobyError

_COMMENT = ("-m", "comment", "--comment", "CNI firewall plugin rules (ingressPolicy: same-bridge)")
_PROGRAMS = ("iptables", "ip6tables")


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


async def forget(name: str, programs: Mapping[str, Path]) -> None:
    """Take the firewall plugin's isolation rules of bridge `name` away, also where two plugins at once
    made them twice. Idempotent."""
    rules = (
        ("CNI-ISOLATION-STAGE-1", "-i", name, "!", "-o", name, *_COMMENT, "-j", "CNI-ISOLATION-STAGE-2"),
        ("CNI-ISOLATION-STAGE-2", "-o", name, *_COMMENT, "-j", "DROP"),
    )
    for program in _PROGRAMS:
        path = programs.get(program) or Path(program)
        for rule in rules:
            for _ in range(64):
                try:
                    done = await run([str(path), "-w", "10", "-D", *rule], timeout=30)
                except MobyError:  # no such program: then no plugin made a rule by it
                    return
                if done.code != 0:
                    break


def guard(table: str, bridges: Iterable[str], internal: Iterable[str]) -> None:
    """Make the table say what holds for these bridges, in one transaction; without any it goes.
    Raises MobyError (nftables)."""
    script = [f"table inet {table}", f"delete table inet {table}"]
    bridges, internal = sorted(bridges), sorted(internal)
    if bridges:
        names = ", ".join(f'"{name}"' for name in bridges)
        drops = [f'    iifname "{n}" oifname != "{n}" drop' for n in internal]
        drops += [f'    oifname "{n}" iifname != "{n}" drop' for n in internal]
        script += [
            f"table inet {table} {{",
            "  chain loopback {",
            "    type filter hook prerouting priority raw; policy accept;",
            f"    iifname {{ {names} }} ip daddr 127.0.0.0/8 drop",
            "  }",
            "  chain internal {",
            "    type filter hook forward priority filter; policy accept;",
            *drops,
            "  }",
            "}",
        ]
    with Nft() as nft:
        nft.run("\n".join(script))
