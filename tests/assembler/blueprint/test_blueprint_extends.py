"""`extends`: what merging does, and the ways in which it can go wrong."""

from __future__ import annotations

import os
from pathlib import Path

from blueprint_kit import HEAD, PARTS, WHOLE, Desk

BASE = """\
blueprint: 1
name: base
components:
  runtime: [runc, crun]
  image_store: overlay
  network: {use: bridge, with: {mtu: 1400, labels: {a: "1", b: "2"}}}
images: [alpine:3, busybox:1]
"""


def test_maps_merge_deep_and_lists_replace(desk: Desk) -> None:
    desk.write(BASE, "base.yaml")
    blueprint = desk.good(
        "blueprint: 1\nname: shop\nextends: base.yaml\ncomponents:\n  runtime: [crun]\n"
        "  network: {with: {labels: {b: '3'}}}\nimages: [debian:12]\n"
    )
    assert blueprint.data["name"] == "shop"
    assert [s.id for s in blueprint.selections if s.kind == "runtime"] == ["crun"]
    network = blueprint.data["components"]["network"][0]
    assert network["use"] == "bridge"
    assert network["with"]["mtu"] == 1400
    assert network["with"]["labels"] == {"a": "1", "b": "3"}
    assert blueprint.images == ("debian:12",)
    assert "extends" not in blueprint.data


def test_short_forms_meet_long_ones(desk: Desk) -> None:
    desk.write(WHOLE, "base.yaml")
    text = "blueprint: 1\nextends: base.yaml\ncomponents: {runtime: {with: {root: /r}}}\n"
    assert desk.good(text).data["components"]["runtime"] == [
        {"use": "runc", "as": "runc", "with": {"root": "/r"}}
    ]


def test_an_exchanged_component_does_not_inherit_options(desk: Desk) -> None:
    desk.write(BASE, "base.yaml")
    text = "blueprint: 1\nextends: base.yaml\ncomponents: {network: none}\n"
    assert desk.good(text).data["components"]["network"] == [{"use": "none", "as": "none", "with": {}}]


def test_null_takes_away(desk: Desk) -> None:
    desk.write(BASE, "base.yaml")
    text = "blueprint: 1\nextends: base.yaml\nimages:\ncomponents: {network: {with: {mtu: null}}}\n"
    blueprint = desk.good(text)
    assert blueprint.images == ()
    assert blueprint.data["components"]["network"][0]["with"]["mtu"] == 1500


def test_the_later_of_several_goes_first_and_the_file_itself_before_all(desk: Desk) -> None:
    desk.write("blueprint: 1\nname: one\nvars: {a: 1, b: 1, c: 1}\n", "one.yaml")
    desk.write("blueprint: 1\nname: two\nvars: {b: 2, c: 2}\n", "two.yaml")
    blueprint = desk.good("blueprint: 1\nextends: [one.yaml, two.yaml]\nvars: {c: 3}\n" + PARTS)
    assert blueprint.name == "two"
    assert blueprint.variables == {"a": 1, "b": 2, "c": 3}


def test_one_file_may_be_extended_on_two_ways(desk: Desk) -> None:
    desk.write(WHOLE, "base.yaml")
    desk.write("blueprint: 1\nextends: base.yaml\n", "left.yaml")
    desk.write("blueprint: 1\nextends: base.yaml\n", "right.yaml")
    assert desk.good("blueprint: 1\nextends: [left.yaml, right.yaml]\n").name == "shop"


def test_files_and_paths_are_relative_to_the_file_that_says_them(desk: Desk) -> None:
    desk.write("blueprint: 1\nextends: deeper/more.yaml\n", "parts/base.yaml")
    desk.write(
        HEAD + "components: {network: none, image_store: overlay, runtime: {use: runc, with: {root: r}}}",
        "parts/deeper/more.yaml",
    )
    blueprint = desk.good("blueprint: 1\nextends: parts/base.yaml\n")
    assert blueprint.selections[0].options == {"root": str(desk.directory / "parts/deeper/r")}


def test_problems_stand_in_the_file_that_has_them(desk: Desk) -> None:
    desk.write(HEAD + "nmae: x\n", "parts/base.yaml")
    found = desk.problems("blueprint: 1\nextends: parts/base.yaml\nzzz: 1\n" + PARTS)
    assert [line.partition(" |")[0] for line in found] == [
        'shop.yaml:3:1: zzz: unknown key "zzz"',
        'parts/base.yaml:3:1: nmae: unknown key "nmae"',
    ]


def test_a_ring_is_named(desk: Desk) -> None:
    desk.write("blueprint: 1\nextends: c.yaml\n", "b.yaml")
    desk.write("blueprint: 1\nextends: [shop.yaml]\n", "c.yaml")
    assert desk.problems(WHOLE + "extends: b.yaml\n") == [
        "c.yaml:2:11: extends[0]: files extend each other in a ring - "
        "shop.yaml -> b.yaml -> c.yaml -> shop.yaml"
    ]


def test_a_file_that_extends_itself_by_another_name_is_a_ring(desk: Desk) -> None:
    (desk.directory / "link.yaml").symlink_to("shop.yaml")
    assert desk.problems(WHOLE + "extends: ./link.yaml\n") == [
        "shop.yaml:7:10: extends: files extend each other in a ring - shop.yaml -> shop.yaml"
    ]


def test_too_deep_and_too_many(desk: Desk) -> None:
    for index in range(40):
        desk.write(f"blueprint: 1\nextends: f{index + 1}.yaml\n", f"f{index}.yaml")
    (found,) = desk.problems(WHOLE + "extends: f0.yaml\n")
    assert "extends: extends go too far - at most 16 deep, and this is " in found
    assert found.endswith("shop.yaml -> " + " -> ".join(f"f{i}.yaml" for i in range(16)))
    for index in range(70):
        desk.write("blueprint: 1\n", f"g{index}.yaml")
    names = ", ".join(f"g{index}.yaml" for index in range(70))
    found_all = desk.problems(f"{WHOLE}extends: [{names}]\n")
    assert len(found_all) == 6
    assert found_all[0].endswith("extends[64]: extends go too far - at most 64 files")


def test_a_bush_of_files_is_read_once_each(desk: Desk) -> None:
    """Sixteen levels, each named twice by the one before: 2^15 ways, 15 files."""
    for index in range(14):
        desk.write(f"blueprint: 1\nextends: [f{index + 1}.yaml, ./f{index + 1}.yaml]\n", f"f{index}.yaml")
    desk.write(WHOLE, "f14.yaml")
    assert desk.good("blueprint: 1\nextends: [f0.yaml, f0.yaml]\n").name == "shop"


def test_what_cannot_be_extended(desk: Desk) -> None:
    os.mkfifo(desk.directory / "pipe")
    desk.write("", "empty.yaml")
    desk.write("name: x\n", "old.yaml")
    desk.write("blueprint: 2\n", "new.yaml")
    desk.write("blueprint: [1\n", "torn.yaml")
    text = (
        WHOLE
        + "extends: [nope.yaml, pipe, ., '', 3, '${env:HOME}/x', empty.yaml, old.yaml, new.yaml, torn.yaml]\n"
    )
    where = "shop.yaml:7:"
    assert sorted(desk.problems(text)) == sorted(
        [
            f'{where}11: extends[0]: nope.yaml: no such file | did you mean "new.yaml"?',
            f"{where}22: extends[1]: pipe: not a regular file",
            f"{where}28: extends[2]: {desk.directory}: is a directory",
            f'{where}31: extends[3]: "" is no file name',
            f"{where}35: extends[4]: 3 is no file name",
            f"{where}38: extends[5]: variables are not known yet where files are read | write the path out",
            "empty.yaml: the file is empty | blueprint: 1",
            "old.yaml:1:1: blueprint: missing - it says in which version of the language the file is written"
            " | blueprint: 1",
            "new.yaml:1:12: blueprint: version 2 is not known - this moby-py reads version 1 | blueprint: 1",
            "torn.yaml:2:1: this is not YAML - did not find expected ',' or ']'"
            " while parsing a flow sequence",
        ]
    )


def test_the_size_limit_holds_for_all_files_together(desk: Desk) -> None:
    for index in range(3):
        desk.write("blueprint: 1\n# " + "x" * 400_000 + "\n", f"f{index}.yaml")
    (found,) = desk.problems(WHOLE + "extends: [f0.yaml, f1.yaml, f2.yaml]\n")
    assert found == "f2.yaml: too large - a blueprint has at most 1 MiB in all"


def test_where_values_come_from(desk: Desk) -> None:
    desk.write(BASE, "base.yaml")
    source = desk.good("blueprint: 1\nextends: base.yaml\nname: shop\n").source
    mtu = source.origin("components.network.with.mtu")
    assert mtu.how == "extends"
    base = Path(mtu.location.file).name, mtu.location.line, mtu.location.column
    assert base == ("base.yaml", 6, 38)
    assert mtu.detail == f"extended by {desk.directory}/shop.yaml"
    name = source.origin("name")
    assert (name.how, name.location.line) == ("file", 3)
    assert name.over is not None
    assert name.over.location.line == 2
