"""The iptables chains that netavark makes once and never removes.

They go with the last network, if what is in them belongs to nobody: a Podman on the same host uses
the same chains. The whole change of one table is one transaction, and a chain that got a rule meanwhile
makes it fail and leaves everything in place.
"""

from __future__ import annotations

import os
from pathlib import Path

from moby_components.common.nft import Nft
from moby_components.common.processes import Child, run

_CONSTANT = ("NETAVARK-HOSTPORT-MASQ", "NETAVARK-HOSTPORT-SETMARK")
"""Chains whose one rule is always the same."""
_REFUSE = ("NETAVARK-HOSTPORT-DNAT", "-d", "::1/128", "-j", "RETURN")
"""netavark sends what goes to [::1] to the container too, where the kernel drops it as martian: a client
of localhost would hang. Left alone it meets our deaf socket, is refused, and goes on to 127.0.0.1."""

_PASS = ("NETAVARK_ISOLATION_1", "-m", "conntrack", "--ctstate", "DNAT", "-j", "RETURN")
"""A published port is for all, the containers of other networks too: isolation lets pass what came to
an address of the host. netavark puts each network's own rule first, so this one is put before it again."""


_GUARD = """table inet {0} {{
  chain loopback {{
    type filter hook prerouting priority raw; policy accept;
    iifname != "lo" ip daddr 127.0.0.0/8 drop
  }}
}}
"""


def guard_loopback(table: str) -> None:
    """netavark opens 127.0.0.0/8 to packets from its bridges (route_localnet), and turns what a machine
    on the same cable sends to a port published there; this table of ours closes it. Idempotent."""
    with Nft() as nft:
        nft.run(f"add table inet {table}\ndelete table inet {table}\n" + _GUARD.format(table))


def remove_guard(table: str) -> None:
    """Idempotent."""
    with Nft() as nft:
        nft.run(f"add table inet {table}\ndelete table inet {table}\n")


def removal(saved: str) -> str:
    """From iptables-save's text to the input of `iptables-restore --noflush` that removes netavark's
    chains; "" where there are none or where any of them is in use."""
    out: list[str] = []
    for block in saved.split("COMMIT"):
        lines = block.splitlines()
        table = next((line for line in lines if line.startswith("*")), "")
        chains = [line[1:].split()[0] for line in lines if line.startswith(":NETAVARK")]
        gone = []
        for line in lines:
            words = line.split()
            if not line.startswith("-A ") or not any(word.startswith("NETAVARK") for word in words):
                continue
            if words[1] in chains and words[1] not in _CONSTANT and tuple(words[1:]) not in (_REFUSE, _PASS):
                return ""
            gone.append("-D " + line[3:])
        if chains:
            out += [table, *gone, *(f"-X {chain}" for chain in chains), "COMMIT", ""]
    return "\n".join(out)


async def refuse_loopback(iptables: Path) -> None:
    """Connections to published ports on [::1] are refused at once. Idempotent."""
    program = [str(iptables.with_name("ip6tables")), "-w", "5", "-t", "nat"]
    if (await run([*program, "-C", *_REFUSE], timeout=30.0)).code != 0:
        await run([*program, "-I", *_REFUSE], timeout=30.0)


async def let_published_pass(iptables: Path, *, ipv6: bool) -> None:
    """Other networks reach published ports at the host's addresses. Idempotent."""
    for name in ("iptables", "ip6tables") if ipv6 else ("iptables",):
        program = [str(iptables.with_name(name)), "-w", "5"]
        listed = (await run([*program, "-S", _PASS[0]], timeout=30.0)).out.decode(errors="replace")
        there = [tuple(line.split()[1:]) for line in listed.splitlines() if line.startswith("-A ")]
        if not there or there[0] == _PASS:
            continue
        rule = " ".join(_PASS)
        text = "\n".join(["*filter", *([f"-D {rule}"] if _PASS in there else []), f"-I {rule}", "COMMIT", ""])
        await _feed([str(iptables.with_name(f"{name}-restore")), "--noflush", "-w", "5"], text)


async def remove_shared(iptables: Path) -> None:
    """Remove netavark's chains of both families if nobody uses them. Idempotent; a host without
    ip6tables, or a table that changed meanwhile, keeps what it has."""
    for name in ("iptables", "ip6tables"):
        save, restore = iptables.with_name(f"{name}-save"), iptables.with_name(f"{name}-restore")
        if not save.exists() or not restore.exists():
            continue
        text = removal((await run([str(save)], timeout=30.0)).out.decode(errors="replace"))
        if text:
            await _feed([str(restore), "--noflush", "-w", "5"], text)


async def _feed(argv: list[str], text: str) -> None:
    stdin = os.memfd_create("rules", os.MFD_CLOEXEC)
    try:
        os.write(stdin, text.encode())
        os.lseek(stdin, 0, os.SEEK_SET)
        child = Child(argv, stdin=stdin)
    finally:
        os.close(stdin)
    await child.wait(30.0)
