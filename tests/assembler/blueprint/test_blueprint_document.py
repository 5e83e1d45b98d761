"""YAML text: what is read, what is refused, and where each problem is said to be."""

from __future__ import annotations

import pytest
from blueprint_kit import HEAD, PARTS, WHOLE, Desk


def test_a_whole_blueprint_has_no_problem(desk: Desk) -> None:
    blueprint = desk.good(WHOLE)
    assert blueprint.name == "shop"
    assert [(s.kind, s.use, s.id, s.path) for s in blueprint.selections] == [
        ("runtime", "runc", "runc", "components.runtime"),
        ("image_store", "overlay", "overlay", "components.image_store"),
        ("network", "none", "none", "components.network"),
        ("volume", "local", "local", "components.volume"),
        ("engine", "moby", "moby", "components.engine"),
        ("api", "docker", "docker", "components.api"),
    ]
    assert blueprint.data == {
        "blueprint": 1,
        "name": "shop",
        "components": {
            "runtime": [{"use": "runc", "as": "runc", "with": {}}],
            "image_store": [{"use": "overlay", "as": "overlay", "with": {}}],
            "network": [{"use": "none", "as": "none", "with": {}}],
            "volume": [{"use": "local", "as": "local", "with": {}}],
            "engine": [{"use": "moby", "as": "moby", "with": {}}],
            "api": [{"use": "docker", "as": "docker", "with": {"group": ""}}],
        },
        "images": [],
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", "shop.yaml: the file is empty | blueprint: 1"),
        (b"# only a comment\n", "shop.yaml: the file is empty | blueprint: 1"),
        (b"- a\n", "shop.yaml:1:1: a list - a blueprint is a map | blueprint: 1"),
        (b"word\n", 'shop.yaml:1:1: "word" - a blueprint is a map | blueprint: 1'),
        (b"a: b\nname: \xff\n", "shop.yaml:2:7: byte 0xff is not UTF-8 - invalid start byte"),
        (b"\xff\xfea\x00", "shop.yaml:1:1: byte 0xff is not UTF-8 - invalid start byte"),
        (b"a: b\nc: \x00\n", "shop.yaml:2:4: character U+0000 is not allowed in YAML"),
        (b"a: \x1b[31m\n", "shop.yaml:1:4: character U+001B is not allowed in YAML"),
        (b"a: [1, 2\nb: 3\n", "this is not YAML - did not find expected ',' or ']'"),
        (b"a: b: c\n", "shop.yaml:1:5: this is not YAML - mapping values are not allowed in this context"),
        (b"\ta: b\n", "this is not YAML - found character that cannot start any token"),
        (b"a: 'open\n", "this is not YAML - found unexpected end of stream"),
        (b"a: 1\n---\nb: 2\n", "shop.yaml:2:1: a second document begins here - a blueprint is one"),
        (b"x: &a [*a]\n", "shop.yaml:1:8: x[0]: *a stands inside of &a - a value cannot hold itself"),
        (b"x: " + b"[" * 40 + b"]" * 40, "nested too deep - at most 32 levels"),
        (b"{y: " * 40 + b"}" * 40, "nested too deep - at most 32 levels"),
        (b"# " + b"x" * (1 << 20), "shop.yaml: too large - a blueprint has at most 1 MiB in all"),
        (b"x: [" + b"1," * 20001 + b"]", "more than 20000 values - a blueprint has at most that many"),
        (b"%TAG !a! !b\n" * 17, "shop.yaml: more than 16 YAML directives (lines with %)"),
    ],
)
def test_what_cannot_be_read_is_one_problem(desk: Desk, text: bytes, expected: str) -> None:
    found = desk.problems(text)
    assert len(found) == 1
    assert expected in found[0]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("nmae: x", '3:1: nmae: unknown key "nmae" | did you mean "name"?'),
        (
            "zzz: x",
            '3:1: zzz: unknown key "zzz" | known are blueprint, name, extends, vars, components, images',
        ),
        ("name: other", '3:1: name: duplicate key "name" - already said in line 2'),
        ("1: x", '3:1: 1: key 1 is not text | write "1"'),
        ("null: x", '3:1: null: key null is not text | write "null"'),
        ("? [a]\n: x", "3:3: a list as a key - keys are text"),
        ("? {a: b}\n: x", "3:3: a map as a key - keys are text"),
        (
            "<<: {name: x}",
            "3:1: merge keys (<<) are not part of the language | say extends, or repeat it",
        ),
        (
            "vars: !!python/object/apply:os.system [true]",
            '3:7: vars: unknown tag "!!python/object/apply:os.system" - a blueprint is plain data'
            " | leave it out",
        ),
        ("vars: !include x", '3:7: vars: unknown tag "!include" - a blueprint is plain data | leave it out'),
        ("vars: {a: !!int x}", '3:11: vars.a: "x" is not a number, as its tag !!int says'),
        ("vars: {a: *b}", "3:11: vars.a: *b is not known - no &b comes before it"),
        (
            "vars: {a: yes}",
            "3:11: vars.a: yes is true or false or text, depending on who reads it"
            ' | write true or "yes" for text',
        ),
        (
            "vars: {a: Off}",
            "3:11: vars.a: Off is true or false or text, depending on who reads it"
            ' | write false or "Off" for text',
        ),
        (
            "vars: {a: 0755}",
            "3:11: vars.a: 0755 is an octal number or a number, depending on who reads it"
            ' | write 755 or "0755" for text',
        ),
        (
            "vars: {a: 1_000}",
            "3:11: vars.a: 1_000 is a number or text, depending on who reads it"
            ' | write 1000 or "1_000" for text',
        ),
        (
            "vars: {a: 22:22}",
            '3:11: vars.a: 22:22 is a number or text, depending on who reads it | write "22:22" for text',
        ),
        (
            "vars: {a: 2024-01-31}",
            "3:11: vars.a: 2024-01-31 is a date or text, depending on who reads it | "
            'write "2024-01-31" for text',
        ),
        (
            "vars: {a: 1e3}",
            '3:11: vars.a: 1e3 is text or a number, depending on who reads it | write "1e3" for text',
        ),
        (
            "vars: {a: 99999999999999999999}",
            "3:11: vars.a: 99999999999999999999 is not a number that a blueprint can hold"
            " - it does not fit 64 bits",
        ),
        (
            "vars: {a: .inf}",
            "3:11: vars.a: .inf is not a number that a blueprint can hold - it does not fit 64 bits",
        ),
        ("vars: [a]", "3:7: vars: a list - vars is a map | vars: {name: value}"),
        ("vars: {a: [1]}", "3:11: vars.a: a list - a variable is text, a number, true or false"),
        ("images: alpine", '3:9: images: "alpine" is not a list of images | images: [alpine]'),
        ("images: [1]", "3:10: images[0]: 1 is not the name of an image"),
        ("images: ['a b']", "3:10: images[0]: invalid reference format"),
    ],
)
def test_wrong_lines(desk: Desk, line: str, expected: str) -> None:
    found = desk.problems(HEAD + line + "\n" + PARTS)
    assert len(found) == 1
    assert found[0].startswith(f"shop.yaml:{expected}") or found == [f"shop.yaml:{expected}"]


def test_a_digits_bomb_is_a_problem(desk: Desk) -> None:
    (found,) = desk.problems(HEAD + "vars: {a: " + "9" * 500_000 + "}\n" + PARTS)
    assert found == (
        f"shop.yaml:3:11: vars.a: {'9' * 37}... is not a number that a blueprint can hold"
        " - it does not fit 64 bits"
    )


def test_an_alias_bomb_is_a_problem(desk: Desk) -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
    (found,) = desk.problems(bomb)
    assert "more than 20000 values - a blueprint has at most that many" in found


def test_an_alias_bomb_of_text_is_a_problem(desk: Desk) -> None:
    text = f"a: &a {'x' * 500_000}\nb: [{'*a, ' * 1000}]\n"
    (found,) = desk.problems(text)
    assert found.endswith("too large - a blueprint has at most 1 MiB in all")


def test_aliases_may_be_used(desk: Desk) -> None:
    text = HEAD + (
        "components:\n  runtime: [&r runc, {use: *r, as: two}]\n  image_store: overlay\n  network: none\n"
    )
    assert [s.use for s in desk.good(text).selections][:2] == ["runc", "runc"]


def test_explicit_tags_of_the_core_schema_are_read(desk: Desk) -> None:
    text = HEAD + (
        "vars: {t: !!str 5, n: !!int 5, b: !!bool true}\ncomponents: !!map\n  runtime: !!seq [runc]\n"
        "  image_store: overlay\n  network: {use: bridge, with: {tag: '${t}', mtu: 1400, ipv6: '${b}'}}\n"
    )
    options = desk.good(text).selections[2].options
    assert (options["tag"], options["ipv6"]) == ("5", True)


def test_columns_count_characters_and_a_byte_order_mark_does_not_count(desk: Desk) -> None:
    found = desk.problems("\ufeffblueprint: 1\nname: shop\nvars: {ü: é, é: yes}\n" + PARTS)
    assert [line.split(": ")[0] for line in found] == ["shop.yaml:3:11", "shop.yaml:3:17", "shop.yaml:3:17"]


def test_a_flood_of_problems_ends(desk: Desk) -> None:
    found = desk.problems(WHOLE + "".join(f"k{i}: x\n" for i in range(5000)))
    assert len(found) == 101
    assert found[0] == "shop.yaml: and more - only the first 100 are told"


def test_missing_and_unreadable_files(desk: Desk) -> None:
    from moby_py.blueprint import load

    desk.write(WHOLE)
    (problem,) = load(desk.directory / "shpo.yaml").problems
    assert desk.told(problem) == 'shpo.yaml: no such file | did you mean "shop.yaml"?'
    (problem,) = load(desk.directory).problems
    assert problem.message == "is a directory"
    (problem,) = load("a\0b").problems
    assert problem.message == "embedded null byte"


def test_standard_input_is_dash(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    import io
    import sys

    from moby_py.blueprint import load

    text = io.TextIOWrapper(io.BytesIO((WHOLE + "nmae: x\n").encode()))
    monkeypatch.setattr(sys, "stdin", text)
    assert [str(p) for p in load("-").problems] == ['<stdin>:7:1: nmae: unknown key "nmae"']
