"""`${name}` and `${env:NAME}`: values, origins, and that the environment is not given away."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from blueprint_kit import HEAD, WHOLE, Desk


def bridged(options: str, variables: str = "{}") -> str:
    return HEAD + (
        f"vars: {variables}\ncomponents:\n  runtime: runc\n  image_store: overlay\n"
        f"  network: {{use: bridge, with: {options}}}\n"
    )


@pytest.mark.parametrize(
    ("options", "variables", "expected"),
    [
        ("{tag: '${a}'}", "{a: x}", {"tag": "x"}),
        ("{tag: '${a}-${b}'}", "{a: x, b: 'y${a}'}", {"tag": "x-yx"}),
        ("{tag: 'v${a}'}", "{a: 1.10}", {"tag": "v1.10"}),
        ("{tag: '${a}'}", "{a: 1.10}", {"tag": "1.10"}),
        ("{mtu: '${a}'}", "{a: 1400}", {"mtu": 1400}),
        ("{mtu: '${a}'}", "{a: '1400'}", {"mtu": 1400}),
        ("{mtu: '${a}00'}", "{a: '14'}", {"mtu": 1400}),
        ("{mtu: '${env:MTU}'}", "{}", {"mtu": 1300}),
        ("{mtu: '${given}'}", "{given: 600}", {"mtu": 1200}),
        ("{ipv6: '${a}'}", "{a: true}", {"ipv6": True}),
        ("{ipv6: '${env:YES}'}", "{}", {"ipv6": True}),
        ("{ratio: '${env:HALF}'}", "{}", {"ratio": 0.5}),
        ("{tag: '${env:NO:-none}'}", "{}", {"tag": "none"}),
        ("{tag: '${env:EMPTY:-none}'}", "{}", {"tag": "none"}),
        ("{tag: '${env:EMPTY}'}", "{}", {"tag": ""}),
        ("{tag: '${env:MTU:-none}'}", "{}", {"tag": "1300"}),
        ("{tag: '$${a} costs 5$ and $x'}", "{a: x}", {"tag": "${a} costs 5$ and $x"}),
        ("{tag: '${given}'}", "{}", {"tag": "1200"}),
        ("{labels: {x: '${given}'}}", "{given: }", {"labels": {"x": "1200"}}),
    ],
)
def test_values(desk: Desk, options: str, variables: str, expected: dict[str, object]) -> None:
    environ = {"MTU": "1300", "YES": "true", "HALF": "0.5", "EMPTY": ""}
    given = {"given": "1200"} if "given" in options + variables else {}
    blueprint = desk.good(bridged(options, variables), variables=given, environ=environ)
    found = blueprint.selections[2].options
    assert {key: found[key] for key in expected} == expected
    assert [type(found[key]) for key in expected] == [type(value) for value in expected.values()]


def test_variables_reach_names_components_and_images(desk: Desk) -> None:
    text = HEAD.replace("shop", "${n}") + (
        "vars: {n: x, rt: crun}\ncomponents: {runtime: ['${rt}'], image_store: overlay, network: none}\n"
        "images: ['${env:REG:-docker.io}/a/b:${n}']\n"
    )
    blueprint = desk.good(text)
    assert (blueprint.name, blueprint.selections[0].use, blueprint.images) == (
        "x",
        "crun",
        ("docker.io/a/b:x",),
    )


def test_var_text_is_literal(desk: Desk) -> None:
    blueprint = desk.good(bridged("{tag: '${a}'}", "{a: 1}"), variables={"a": "${env:HOME}"})
    assert blueprint.selections[2].options["tag"] == "${env:HOME}"


@pytest.mark.parametrize(
    ("options", "variables", "expected"),
    [
        ("{tag: '${subnte}'}", "{subnet: x}", '"subnte" is not known | did you mean "subnet"?'),
        ("{tag: '${HOME}'}", "{}", 'variable "HOME" is not known | write ${env:HOME}'),
        ("{tag: '${zzz}'}", "{}", 'variable "zzz" is not known | --var zzz=...'),
        ("{tag: '${a}'}", "{a: }", 'variable "a" has no value | --var a=...'),
        (
            "{tag: '${env:NOPE}'}",
            "{}",
            "environment variable NOPE is not set | set it, or write ${env:NOPE:-default}",
        ),
        ("{tag: '${env:BAD}'}", "{}", "environment variable BAD is not UTF-8"),
        ("{tag: '${a'}", "{a: 1}", '"${a" is not closed | write ${NAME}, or $${ for the text ${'),
        (
            "{tag: '${a b}'}",
            "{}",
            '"${a b}" names no variable | '
            "write ${NAME}, ${env:NAME}, ${env:NAME:-default}, or $${ for the text ${",
        ),
        ("{tag: '${}'}", "{}", '"${}" names no variable | '),
        ("{tag: '${file:/etc/passwd}'}", "{}", '"${file:/etc/passwd}" names no variable | '),
    ],
)
def test_what_cannot_be_replaced(desk: Desk, options: str, variables: str, expected: str) -> None:
    environ = {"HOME": "/root", "BAD": "\udcff"}
    (found,) = desk.problems(bridged(options, variables), environ=environ)
    assert found.startswith("shop.yaml:7:38: components.network.with.tag: ")
    assert expected in found


def test_a_ring_of_variables_is_named(desk: Desk) -> None:
    found = desk.problems(bridged("{tag: '${a}'}", "{a: 'x${b}', b: 'y${c}', c: 'z${a}'}"))
    assert found == ["shop.yaml:3:35: vars.c: variables need each other in a ring - a -> b -> c -> a"]


def test_a_bomb_of_variables_is_a_problem(desk: Desk) -> None:
    names = "abcdefghij"
    pairs = [f"{b}: '{('${' + a + '}') * 10}'" for a, b in pairwise(names)]
    found = desk.problems(bridged("{tag: '${j}'}", "{a: xxxxxxxxxx, " + ", ".join(pairs) + "}"))
    assert len(found) == 1
    assert found[0].startswith("shop.yaml:3:")
    assert found[0].endswith("too long with its variables replaced")


def test_many_long_values_are_a_problem(desk: Desk) -> None:
    labels = ", ".join(f"k{i}: '${{a}}x'" for i in range(1000))
    text = bridged("{labels: {" + labels + "}}", "{a: " + "x" * 60_000 + "}")
    (found,) = desk.problems(text)
    assert found.endswith("too long with its variables replaced")


def test_a_var_that_nothing_asks_for(desk: Desk) -> None:
    text = bridged("{tag: '${subnet}'}", "{subnet: x}")
    assert desk.problems(text, variables={"subent": "y"}) == [
        '--var: vars.subent: the blueprint has no variable "subent" | did you mean "subnet"?'
    ]


def test_paths_start_where_the_variable_was_said(desk: Desk) -> None:
    desk.write("blueprint: 1\nvars: {dir: keys}\n", "base/base.yaml")
    text = WHOLE.replace("runc", "{use: runc, with: {root: '%s'}}") + "extends: base/base.yaml\n"

    def root(said: str, **given: object) -> object:
        return desk.good(text.replace("%s", said), **given).selections[0].options["root"]

    assert root("${dir}") == str(desk.directory / "base/keys")
    assert root("${dir}/a") == str(desk.directory / "keys/a")
    assert root("${dir}", variables={"dir": "here"}) == str(desk.directory / "cwd/here")
    assert root("${env:DIR}", environ={"DIR": "there"}) == str(desk.directory / "cwd/there")
    assert root("x/../y") == str(desk.directory / "y")


def test_home_in_paths(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    text = WHOLE.replace("runc", "{use: runc, with: {root: ~/r}}")
    assert desk.good(text).selections[0].options["root"] == "/home/me/r"


SECRET = "hunter2hunter2"


@pytest.mark.parametrize(
    "text",
    [
        bridged("{mtu: '${env:TOKEN}'}"),
        bridged("{mtu: '${t}'}", "{t: '${env:TOKEN}'}"),
        bridged("{driver: 'x${env:TOKEN}'}"),
        bridged("{subnet: '${env:TOKEN}'}"),
        bridged("{ipv6: '${env:TOKEN}', dns: '${env:TOKEN}', keys: '${env:TOKEN}'}"),
        bridged("{keys: ['${env:TOKEN}', '${env:TOKEN}']}"),
        bridged("'${env:TOKEN}'"),
        HEAD.replace("shop", "${env:TOKEN}/"),
        WHOLE.replace("runc", "${env:TOKEN}"),
        WHOLE.replace("runc", "{use: runc, as: '${env:TOKEN}!'}"),
        WHOLE.replace("none", "['${env:TOKEN}', '${env:TOKEN}']"),
        WHOLE + "images: ['${env:TOKEN} x']\n",
        WHOLE + "images: '${env:TOKEN}'\n",
    ],
)
def test_problems_do_not_tell_what_the_environment_holds(desk: Desk, text: str) -> None:
    found = desk.problems(text, environ={"TOKEN": SECRET})
    assert found
    assert SECRET not in json.dumps(found)


def test_origins_name_the_variables(desk: Desk) -> None:
    text = bridged(
        "{tag: '${a}', subnet: '${b}', mtu: '${c}', labels: {x: '${env:X:-y}'}}",
        "{a: x, b: 1, c: '${env:MTU}'}",
    )
    source = desk.good(text, variables={"b": "10.0.0.0/8"}, environ={"MTU": "1400"}).source
    at = f"{desk.directory}/shop.yaml"
    said = {
        key: source.origin(f"components.network.with.{key}") for key in ("tag", "subnet", "mtu", "labels.x")
    }
    assert {key: origin.how for key, origin in said.items()} == {
        "tag": "file",
        "subnet": "--var",
        "mtu": "env",
        "labels.x": "file",
    }
    assert str(said["tag"]) == f"{at}:7:38, with a from {at}:3:11"
    assert str(said["subnet"]) == f"{at}:7:54, with --var b"
    assert str(said["mtu"]) == f"{at}:7:67, with c from {at}:3:23, with MTU of the environment"
    assert str(said["labels.x"]) == f"{at}:7:87, X is not set in the environment"
    assert said["mtu"].shown == "${env:MTU}"
