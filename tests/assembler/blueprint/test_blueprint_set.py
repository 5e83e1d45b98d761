"""`--set`: where values can be put, how they are read, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from blueprint_kit import HEAD, WHOLE, Desk

from moby_py.provenance import join, split

BRIDGED = HEAD + (
    "components:\n  runtime: [runc, {use: crun, as: fast}]\n  image_store: overlay\n"
    "  network: {use: bridge, with: {mtu: 1400}}\n"
)


def test_another_component(desk: Desk) -> None:
    selection = desk.good(WHOLE, "components.runtime=crun").selections[0]
    assert (selection.use, selection.id, selection.path) == ("crun", "crun", "components.runtime")


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("name=other", ["name"], "other"),
        ("components.network.with.mtu=9000", ["components", "network", 0, "with", "mtu"], 9000),
        ("components.network[0].with.mtu=600", ["components", "network", 0, "with", "mtu"], 600),
        ("components.network.with.ipv6=true", ["components", "network", 0, "with", "ipv6"], True),
        ("components.network.with.mtu=null", ["components", "network", 0, "with", "mtu"], 1500),
        ("components.network.with.mtu=", ["components", "network", 0, "with", "mtu"], 1500),
        ("components.network.with.tag='7'", ["components", "network", 0, "with", "tag"], "7"),
        ("components.network.with.tag=#7", ["components", "network", 0, "with", "tag"], "#7"),
        ("components.network.with.tag=a: b: c", ["components", "network", 0, "with", "tag"], "a: b: c"),
        ("components.network.with.tag=@x", ["components", "network", 0, "with", "tag"], "@x"),
        ("components.network.with.tag=a=b", ["components", "network", 0, "with", "tag"], "a=b"),
        ("components.network.with.tag=a${env:W}c", ["components", "network", 0, "with", "tag"], "abc"),
        (
            'components.network.with.labels["a.b=c"]=x',
            ["components", "network", 0, "with", "labels"],
            {"a.b=c": "x"},
        ),
        ("components.network={use: none}", ["components", "network", 0, "use"], "none"),
        ("components.network=[none]", ["components", "network", 0, "use"], "none"),
        ("components.runtime[1]=runc", ["components", "runtime", 0, "use"], "runc"),
        ("components.runtime[1].as=slow", ["components", "runtime", 1, "as"], "slow"),
        ("components.runtime[2]={use: runc, as: third}", ["components", "runtime", 2, "as"], "third"),
        ("components.runtime[0].with.root=/r", ["components", "runtime", 0, "with", "root"], "/r"),
        ("components.runtime[0]=null", ["components", "runtime", 0, "as"], "fast"),
        ("components.mail.use=smtp", ["components", "mail", 0, "use"], "smtp"),
        ("images[0]=alpine:3", ["images"], ["alpine:3"]),
        ("images=[alpine:3, busybox]", ["images"], ["alpine:3", "busybox"]),
    ],
)
def test_values_arrive(desk: Desk, text: str, path: list[Any], value: Any) -> None:
    blueprint = desk.good(
        BRIDGED.replace("runtime: [runc, ", "runtime: [crun, ") if text.endswith("[1]=runc") else BRIDGED,
        text,
        environ={"W": "b"},
    )
    found: Any = blueprint.data
    for part in path:
        found = found[part]
    if text == "components.runtime[1]=runc":
        assert [item["use"] for item in blueprint.data["components"]["runtime"]] == ["crun", "runc"]
    else:
        assert found == value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name", '--set: "name" is not PATH=VALUE | --set components.runtime=crun'),
        ("=x", '--set: "=x" is not PATH=VALUE | --set components.runtime=crun'),
        ("a..b=x", '--set: "a..b=x" is not PATH=VALUE | --set components.runtime=crun'),
        ("a[x]=x", '--set: "a[x]=x" is not PATH=VALUE | --set components.runtime=crun'),
        ("extends=x", "--set: extends: extends cannot be set - it says how the file is read"),
        ("blueprint=1", "--set: blueprint: blueprint cannot be set - it says how the file is read"),
        ("name.x=1", '--set: name.x: name is "shop" - it has no x'),
        ("name[0]=1", '--set: name[0]: name is "shop" - it has no items'),
        (
            "components.runtime.use=crun",
            "--set: components.runtime.use: components.runtime is a list - "
            "say which of its items, as in components.runtime[0].use",
        ),
        (
            "components.runtime[5]=crun",
            "--set: components.runtime[5]: components.runtime has 2 items - "
            "the next one is components.runtime[2]",
        ),
        (
            "components.network.with.mtu=big",
            '--set: components.network.with.mtu: "big" is not a whole number | MTU.',
        ),
        (
            "components.network.with.ipv6=yes",
            "--set: components.network.with.ipv6: yes is true or false or text, depending on who reads it | "
            'write true or "yes" for text',
        ),
        ("components.network.with.tag=[a", "this is not YAML"),
        ("components.network.with.tag=!x y", '--set: components.network.with.tag: unknown tag "!x"'),
        ("components.network.with.tag=\x07", "character U+0007 is not allowed in YAML"),
        ("components.network.with.tag=\udcff", "--set: components.network.with.tag: the value is not UTF-8"),
        ("nmae=x", '--set: nmae: unknown key "nmae" | did you mean "name"?'),
        (
            "components.network.with={mtu: 1, mtu: 2}",
            '--set: components.network.with.mtu: duplicate key "mtu" - already said',
        ),
    ],
)
def test_what_is_refused(desk: Desk, text: str, expected: str) -> None:
    found = desk.problems(BRIDGED, text)
    assert any(line == expected or (expected in line and line.startswith("--set: ")) for line in found), found


def test_paths_said_on_the_command_line_start_where_the_user_is(desk: Desk) -> None:
    blueprint = desk.good(WHOLE, "components.runtime.with.root=r")
    assert blueprint.selections[0].options["root"] == str(desk.directory / "cwd/r")


def test_the_origin_is_the_command_line(desk: Desk) -> None:
    origin = desk.good(BRIDGED, "components.network.with.mtu=900").source.origin(
        "components.network.with.mtu"
    )
    assert (origin.how, str(origin)) == ("--set", "--set")
    assert origin.over is not None
    assert origin.over.location.line == 6


@pytest.mark.parametrize("parts", [["a"], ["a", 0, "b-c"], ["a", "b.c", 'd"]e', 3], ["", "x"], ["é", 0]])
def test_paths_split_as_they_are_joined(parts: list[Any]) -> None:
    assert split(join("", *parts)) == parts
