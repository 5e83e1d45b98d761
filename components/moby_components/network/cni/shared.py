"""The chains that all CNI users of a host share: CNI-FORWARD, CNI-HOSTPORT-DNAT, ... The plugins make
them and never take them away. When the last container of a platform has left, those that hold no rule
of anybody go, each table in one transaction.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from moby_components.common.processes import Child, run
from moby_py.errors import MobyError

_BUILT_IN = frozenset({"FORWARD", "PREROUTING", "OUTPUT", "POSTROUTING", "INPUT"})
_FIXED = frozenset({"MARK", "MASQUERADE", "RETURN"})
_GROUPS = {
    "filter": (("CNI-FORWARD", "CNI-ADMIN"), ("CNI-ISOLATION-STAGE-1", "CNI-ISOLATION-STAGE-2")),
    "nat": (("CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-SETMARK", "CNI-HOSTPORT-MASQ"),),
}
_ADMIN = "CNI-ADMIN"


async def tidy(programs: Mapping[str, Path]) -> None:
    """Never fails: what cannot be taken away stays."""
    for program in ("iptables", "ip6tables"):
        path = programs.get(program) or Path(program)
        for table in _GROUPS:
            try:
                listed = await run([str(path), "-w", "10", "-t", table, "-S"], timeout=30)
                script = idle(table, listed.out.decode(errors="replace").splitlines())
                if script:
                    await _restore(path.with_name(f"{program}-restore"), table, script)
            except MobyError:  # not installed, or it hangs
                break


def idle(table: str, listed: list[str]) -> list[str]:
    """What iptables-restore takes the idle groups of chains away with, from the output of -S."""
    rules = [line for line in listed if line.startswith("-A ")]
    chains = [line.split()[1] for line in listed if line.startswith("-N ")]
    script: list[str] = []
    for group in _GROUPS[table]:
        mine = [name for name in chains if name in group]
        inside = [rule for rule in rules if _chain(rule) in group]
        entries = [rule for rule in rules if _target(rule) in group and _chain(rule) not in group]
        used = any(
            _chain(rule) == _ADMIN or _target(rule) not in _FIXED.union(group) for rule in inside
        ) or any(_chain(rule) not in _BUILT_IN for rule in entries)
        if mine and not used:
            script += [f"-D{rule[2:]}" for rule in entries]
            script += [f"-F {name}" for name in mine] + [f"-X {name}" for name in mine]
    return script


async def _restore(program: Path, table: str, script: list[str]) -> None:
    fd = os.memfd_create("rules", os.MFD_CLOEXEC)
    try:
        os.write(fd, "\n".join([f"*{table}", *script, "COMMIT", ""]).encode())
        os.lseek(fd, 0, os.SEEK_SET)
        child = Child([str(program), "-w", "10", "--noflush"], stdin=fd)
    finally:
        os.close(fd)
    await child.wait(30)


def _chain(rule: str) -> str:
    return rule.split()[1]


def _target(rule: str) -> str:
    words = rule.split()
    return words[words.index("-j") + 1] if "-j" in words[:-1] else ""
