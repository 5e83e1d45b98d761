"""Selections become an ordered plan; gaps, clashes and rings are problems at their places."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moby_py.blueprint import Blueprint, Selection
from moby_py.component import Component
from moby_py.errors import PluginError
from moby_py.problems import Location
from moby_py.provenance import Origin, SourceMap
from moby_py.registry import Registry
from moby_py.wiring import Edge, Part, Wiring, find_ring, wire


def component(
    kind: str, name: str, provides: Sequence[str] = (), requires: Sequence[str] = ()
) -> type[Component]:
    body = {"kind": kind, "name": name, "provides": tuple(provides), "requires": tuple(requires)}
    return type(name, (Component,), body)


class Shelf(Registry):
    """A registry of the classes that a test made."""

    def __init__(self, *classes: type[Component]) -> None:
        super().__init__()
        self.classes = {(c.kind, c.name): c for c in classes}

    def load(self, kind: str, name: str) -> type[Component]:
        try:
            return self.classes[kind, name]
        except KeyError:
            raise PluginError(f"{kind}.{name} is broken - on purpose", hint="mend it") from None

    def entries(self) -> Sequence[Any]:
        from moby_py.registry import Entry

        return [Entry(kind, name, "test", "1", "m") for kind, name in self.classes]

    def examine(self, entry: Any) -> Any:
        from dataclasses import replace

        return replace(entry, status="ok")


def blueprint(*chosen: type[Component]) -> Blueprint:
    """A blueprint naming these; selection N stands in line N."""
    seen: dict[str, int] = {}
    selections, origins = [], {}
    for line, cls in enumerate(chosen, start=1):
        index = seen[cls.kind] = seen.get(cls.kind, -1) + 1
        path = f"components.{cls.kind}[{index}]"
        selections.append(Selection(cls.kind, cls.name, cls.name, {}, path))
        origins[path] = Origin("file", Location("b.yaml", line, 5))
    return Blueprint("b", tuple(selections), (), {}, SourceMap("b.yaml", origins), Path("b.yaml"))


def plan(*classes: type[Component]) -> Wiring:
    wiring, problems = wire(blueprint(*classes), Shelf(*classes))
    assert problems == []
    assert wiring is not None
    return wiring


def texts(*classes: type[Component], shelf: Sequence[type[Component]] = ()) -> list[tuple[str, str | None]]:
    wiring, problems = wire(blueprint(*classes), Shelf(*classes, *shelf))
    assert wiring is None
    return [(str(p), p.hint) for p in problems]


API, ENGINE = component("api", "docker"), component("engine", "moby")
RUNC = component("runtime", "runc", requires=["oci-mounts"])
STORE = component("image_store", "overlay", provides=["oci-mounts"])
NET = component("network", "none")


def test_providers_come_first_and_the_kinds_in_their_order() -> None:
    wiring = plan(API, ENGINE, NET, RUNC, STORE)
    assert [p.key for p in wiring.parts] == [
        "image_store/overlay",
        "runtime/runc",
        "network/none",
        "engine/moby",
        "api/docker",
    ]
    assert wiring.kinds == ("image_store", "runtime", "network", "engine", "api")


def test_the_edges_say_who_works_with_whom() -> None:
    assert plan(API, ENGINE, RUNC, STORE).edges == (
        Edge("api/docker", "engine/moby"),
        Edge("engine/moby", "image_store/overlay"),
        Edge("engine/moby", "runtime/runc"),
        Edge("runtime/runc", "image_store/overlay", "oci-mounts"),
    )


def test_several_of_a_kind_keep_the_blueprint_s_order() -> None:
    names = ["zeta", "alpha", "mid"]
    wiring = plan(*(component("runtime", name) for name in names))
    assert [p.id for p in wiring.of("runtime")] == names


def test_a_plugin_s_kind_starts_before_the_engine_and_after_what_it_requires() -> None:
    mesh = component("mesh", "linker", requires=["bridge"])
    net = component("network", "bridge", provides=["bridge"])
    keys = [p.key for p in plan(ENGINE, mesh, net).parts]
    assert keys == ["network/bridge", "mesh/linker", "engine/moby"]


def test_kinds_stay_together_where_they_can_and_part_where_they_must() -> None:
    bare = component("runtime", "bare")
    assert plan(bare, RUNC, STORE, ENGINE).kinds == ("image_store", "runtime", "engine")
    daemon = component("runtime", "daemon", provides=["service"])
    store = component("image_store", "overlay", provides=["oci-mounts"], requires=["service"])
    keys = [p.key for p in plan(RUNC, daemon, store, ENGINE).parts]
    assert keys == ["runtime/daemon", "image_store/overlay", "runtime/runc", "engine/moby"]


def test_a_gap_is_told_with_who_could_fill_it() -> None:
    other = component("image_store", "second", provides=["oci-mounts"])
    assert texts(NET, RUNC, shelf=[STORE, other]) == [
        (
            "b.yaml:2:5: components.runtime[0]: runtime/runc requires 'oci-mounts' - "
            "no other component of this blueprint provides it",
            "add image_store: overlay or image_store: second",
        )
    ]


def test_a_gap_that_nobody_can_fill_has_no_hint() -> None:
    lonely = component("runtime", "lonely", provides=["own"], requires=["own"])
    assert texts(lonely) == [
        (
            "b.yaml:1:5: components.runtime[0]: runtime/lonely requires 'own' - "
            "no other component of this blueprint provides it",
            None,
        )
    ]


def test_a_clash_names_both_providers() -> None:
    a, b = component("mesh", "a", provides=["dns"]), component("network", "b", provides=["dns"])
    assert texts(component("engine", "e", requires=["dns"]), a, b) == [
        (
            "b.yaml:1:5: components.engine[0]: "
            "engine/e requires 'dns' - mesh/a and network/b both provide it",
            "keep one of mesh/a and network/b",
        )
    ]


def test_several_runtimes_providing_the_same_are_no_clash() -> None:
    first, second = (component("runtime", n, provides=["oci"]) for n in ("one", "two"))
    wiring = plan(component("engine", "e", requires=["oci"]), first, second)
    assert {e.server for e in wiring.edges if e.capability} == {"runtime/one", "runtime/two"}


def test_a_ring_is_named_from_end_to_end() -> None:
    a = component("runtime", "a", provides=["x"], requires=["y"])
    b = component("image_store", "b", provides=["y"], requires=["z"])
    c = component("network", "c", provides=["z"], requires=["x"])
    assert texts(c, b, a) == [
        (
            "b.yaml:2:5: components.image_store[0]: components need each other in a ring - "
            "image_store/b -> network/c -> runtime/a -> image_store/b",
            "use another component for one of them",
        )
    ]


def test_everything_that_is_wrong_is_told_at_once_in_the_file_s_order() -> None:
    gone = component("network", "gone")
    wiring, problems = wire(blueprint(RUNC, gone, component("secrets", "lost")), Shelf(RUNC))
    assert wiring is None
    assert [str(p) for p in problems] == [
        "b.yaml:2:5: components.network[0]: network.gone is broken - on purpose",
        "b.yaml:3:5: components.secrets[0]: secrets.lost is broken - on purpose",
    ]
    assert [p.hint for p in problems] == ["mend it", "mend it"]
    both = texts(RUNC, component("runtime", "other", requires=["more"]))
    assert len(both) == 2


@pytest.mark.parametrize("size", [1, 2, 5])
def test_find_ring_turns_a_ring_to_its_smallest_name(size: int) -> None:
    names = [f"n{i}" for i in range(size)]
    edges = {Edge(names[i], names[(i + 1) % size]) for i in range(size)}
    assert find_ring(edges) == [*names, "n0"]


NODES = st.integers(0, 7)


@given(st.sets(st.tuples(NODES, NODES)))
def test_a_ring_is_found_exactly_when_no_order_exists(pairs: set[tuple[int, int]]) -> None:
    edges = {Edge(str(a), str(b)) for a, b in pairs}
    ring = find_ring(edges)
    if ring:
        assert ring[0] == ring[-1]
        assert all(Edge(a, b) in edges for a, b in pairwise(ring))
        return
    left = {n for pair in pairs for n in pair}
    while left:
        free = {a for a in left if not any(x == a and b in left for x, b in pairs)}
        assert free, "no ring was reported, but no order exists"
        left -= free


@given(st.permutations([API, ENGINE, NET, RUNC, STORE]))
def test_the_order_does_not_depend_on_the_order_in_the_file(classes: list[type[Component]]) -> None:
    expected: list[Part] = list(plan(API, ENGINE, NET, RUNC, STORE).parts)
    assert [p.key for p in plan(*classes).parts] == [p.key for p in expected]
