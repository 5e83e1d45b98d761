"""The wiring as a picture: a small model, and its Mermaid text. `graph_svg` draws the same model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moby_py.kinds import KINDS

if TYPE_CHECKING:
    from moby_py.host import HostReport
    from moby_py.wiring import Wiring


@dataclass(frozen=True, slots=True)
class Node:
    """One part. `level` 0 is nearest to the user; `default` marks the first of several of a kind;
    `programs` what it runs on this host, "runc 1.1.5"."""

    key: str
    kind: str
    id: str
    use: str
    level: int
    default: bool
    programs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """`user` stands on `server`; `label` is the capability, "" where the kinds alone say so."""

    user: str
    server: str
    label: str


@dataclass(frozen=True, slots=True)
class Picture:
    name: str
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]

    def level(self, number: int) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.level == number)


LEVELS = {"api": 0, "engine": 1}
FLOOR = 2
"""Every other kind stands side by side below the engine."""


def of(name: str, wiring: Wiring, host: HostReport | None = None) -> Picture:
    """The picture of a platform. Without a host report it names no programs."""
    nodes = []
    for kind in sorted(wiring.kinds, key=_column):
        parts = wiring.of(kind)
        for part in parts:
            programs = tuple(
                f"{b.name} {b.version}".strip()
                for b in (host.binaries if host else ())
                if (b.kind, b.id) == (part.kind, part.id)
            )
            level = LEVELS.get(kind, FLOOR)
            default = part is parts[0] and len(parts) > 1
            nodes.append(Node(part.key, kind, part.id, part.use, level, default, programs))
    links = [Link(edge.user, edge.server, edge.capability) for edge in wiring.edges]
    return Picture(name, tuple(nodes), tuple(links))


def mermaid(picture: Picture) -> str:
    """Mermaid flowchart text; GitHub and most editors draw it."""
    lines = [
        f"%% the wiring of {picture.name}, written by moby-py build",
        "flowchart TD",
        f'    client(["docker · compose · bin/{picture.name}"])',
    ]
    for node in picture.nodes:
        use = f" ({node.use})" if node.use != node.id else ""
        default = "<br/>default" if node.default else ""
        lines.append(f'    {_id(node.key)}["{node.kind}<br/><b>{node.id}</b>{use}{default}"]')
    lines += [f"    client --> {_id(node.key)}" for node in picture.level(0)]
    for link in picture.links:
        arrow = f"-. {link.label} .->" if link.label else "-->"
        lines.append(f"    {_id(link.user)} {arrow} {_id(link.server)}")
    programs = sorted({(program, node.key) for node in picture.nodes for program in node.programs})
    if programs:
        lines.append('    subgraph host["this host"]')
        for program in dict.fromkeys(program for program, _ in programs):
            lines.append(f'        {_id("program " + program)}[["{program}"]]')
        lines.append("    end")
        lines += [f"    {_id(key)} --- {_id('program ' + program)}" for program, key in programs]
    return "\n".join(lines) + "\n"


def _column(kind: str) -> tuple[int, str]:
    names = list(KINDS)
    return (names.index(kind) if kind in names else len(names), kind)


def _id(key: str) -> str:
    return re.sub(r"\W", "_", key)
