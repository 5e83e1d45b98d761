"""From selections to a plan: which component serves which, and in which order they start.

    wire(blueprint, registry) -> (Wiring | None, problems)

Everything comes from registrations: the kinds' own uses (an api stands on an engine, an engine on
runtime, store, network and secrets) and what components declare as `provides` and `requires`.
Providers start before those who require them; where nothing is said, in the order of the kinds, and
a plugin's kind before the engine. Gaps, clashes and rings are problems, all of them, each located
at the selection in the blueprint.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from moby_py.component import Component
from moby_py.errors import PluginError, Unavailable
from moby_py.kinds import KINDS, MANY
from moby_py.problems import Problem

if TYPE_CHECKING:
    from moby_py.blueprint import Blueprint
    from moby_py.registry import Registry

USES = {"api": ("engine",), "engine": ("runtime", "image_store", "network", "secrets")}
"""What a component of a kind always works with, whatever it declares."""


@dataclass(frozen=True)
class Part:
    """One component of the platform-to-be: a selection and the class that fills it."""

    kind: str
    use: str
    id: str
    options: Mapping[str, Any]
    cls: type[Component]
    path: str

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.id}"


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """`user` works with `server`; `capability` is "" where the kinds alone say so."""

    user: str
    server: str
    capability: str = ""


@dataclass(frozen=True)
class Wiring:
    """The plan. `parts` in the order of start; `edges` sorted."""

    parts: tuple[Part, ...]
    edges: tuple[Edge, ...]

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The kinds in the order in which their first part starts."""
        return tuple(dict.fromkeys(part.kind for part in self.parts))

    def of(self, kind: str) -> tuple[Part, ...]:
        """The parts of one kind in the blueprint's order: the first is the default."""
        return tuple(sorted((p for p in self.parts if p.kind == kind), key=_place))


def wire(blueprint: Blueprint, registry: Registry) -> tuple[Wiring | None, list[Problem]]:
    """Load the classes that the blueprint names and join them. A plan, or problems."""
    problems: list[Problem] = []

    def problem(path: str, message: str, hint: str | None) -> None:
        problems.append(Problem(blueprint.source.location(path), path, message, hint))

    parts: list[Part] = []
    for selection in blueprint.selections:
        try:
            cls = registry.load(selection.kind, selection.use)
        except (PluginError, Unavailable) as error:
            problem(selection.path, error.message, error.hint)
            continue
        parts.append(
            Part(selection.kind, selection.use, selection.id, selection.options, cls, selection.path)
        )
    if problems:
        return None, sorted(problems)

    edges = set(_kind_edges(parts))
    for part in parts:
        for capability in part.cls.requires:
            servers = [p for p in parts if p is not part and capability in p.cls.provides]
            if not servers:
                problem(
                    part.path,
                    f"{part.key} requires {capability!r} - no other component of this blueprint provides it",
                    _who_provides(capability, registry, part),
                )
            elif len(servers) > 1 and not _choice(servers):
                problem(
                    part.path,
                    f"{part.key} requires {capability!r} - "
                    f"{' and '.join(p.key for p in servers)} both provide it",
                    f"keep one of {' and '.join(p.key for p in servers)}",
                )
            else:
                edges.update(Edge(part.key, server.key, capability) for server in servers)
    if not problems:
        ring = find_ring(edges)
        if ring:
            first = next(p for p in parts if p.key == ring[0])
            problem(
                first.path,
                f"components need each other in a ring - {' -> '.join(ring)}",
                "use another component for one of them",
            )
    if problems:
        return None, sorted(problems)
    return Wiring(_ordered(parts, edges), tuple(sorted(edges))), []


def _kind_edges(parts: Sequence[Part]) -> Iterator[Edge]:
    for part in parts:
        for kind in USES.get(part.kind, ()):
            yield from (Edge(part.key, other.key) for other in parts if other.kind == kind)


def _choice(servers: Sequence[Part]) -> bool:
    """Several runtimes side by side are no clash: the blueprint may name many of that kind."""
    kinds = {p.kind for p in servers}
    return len(kinds) == 1 and kinds <= MANY


def _who_provides(capability: str, registry: Registry, asking: Part) -> str | None:
    """Only on the way to an error message: looks into every component there is."""
    able = []
    for entry in registry.entries():
        if (entry.kind, entry.name) != (asking.kind, asking.use) and registry.examine(entry).status == "ok":
            cls = registry.load(entry.kind, entry.name)
            if capability in cls.provides:
                able.append(f"{entry.kind}: {entry.name}")
    return f"add {' or '.join(able)}" if able else None


def find_ring(edges: set[Edge]) -> list[str]:
    """A ring as `[a, b, a]`, beginning at its smallest name; empty when there is none."""
    servers: dict[str, list[str]] = {}
    for edge in sorted(edges):
        servers.setdefault(edge.user, []).append(edge.server)
    done: set[str] = set()
    for start in sorted(servers):
        trail: list[str] = []
        stack: list[Iterator[str]] = [iter((start,))]
        while stack:
            node = next(stack[-1], None)
            if node is None:
                stack.pop()
                if trail:
                    done.add(trail.pop())
            elif node in trail:
                ring = trail[trail.index(node) :]
                turn = ring.index(min(ring))
                return [*ring[turn:], *ring[:turn], ring[turn]]
            elif node not in done:
                trail.append(node)
                stack.append(iter(servers.get(node, ())))
    return []


def _ordered(parts: Sequence[Part], edges: set[Edge]) -> tuple[Part, ...]:
    """Kind by kind where that is possible, so that people find an order they know; part by part
    where two kinds need each other (runtime a the store, the store runtime b)."""
    ranked = sorted(parts, key=lambda p: (_rank(p.kind), p.kind, _place(p)))
    kind_of = {part.key: part.kind for part in parts}
    across = {(kind_of[e.user], kind_of[e.server]) for e in edges if kind_of[e.user] != kind_of[e.server]}
    kinds = _kahn(list(dict.fromkeys(p.kind for p in ranked)), across)
    if kinds is not None:
        ranked.sort(key=lambda p: kinds.index(p.kind))
    by_key = {part.key: part for part in ranked}
    order = _kahn(list(by_key), {(e.user, e.server) for e in edges})
    return tuple(by_key[key] for key in order or by_key)


def _kahn(names: Sequence[str], edges: set[tuple[str, str]]) -> list[str] | None:
    """`names` with every server before its users, else as given; None when there is a ring."""
    index = {name: position for position, name in enumerate(names)}
    waits = {name: {server for user, server in edges if user == name} for name in names}
    ready = [index[name] for name, servers in waits.items() if not servers]
    heapq.heapify(ready)
    order: list[str] = []
    while ready:
        done = names[heapq.heappop(ready)]
        order.append(done)
        for name, servers in waits.items():
            if done in servers:
                servers.discard(done)
                if not servers:
                    heapq.heappush(ready, index[name])
    return order if len(order) == len(names) else None


def _rank(kind: str) -> float:
    names = list(KINDS)
    return names.index(kind) if kind in names else names.index("engine") - 0.5


def _place(part: Part) -> tuple[int, str]:
    """The position in a list of the blueprint: `components.runtime[2]` -> 2."""
    head, _, tail = part.path.rpartition("[")
    return (int(tail[:-1]) if head and tail[:-1].isdigit() else 0, part.id)
