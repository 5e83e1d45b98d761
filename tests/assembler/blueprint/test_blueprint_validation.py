"""Components and their options: every problem located, every default filled in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from blueprint_kit import HEAD, PARTS, VAULT, WHOLE, Desk, SmallRegistry

from moby_py.errors import BlueprintError
from moby_py.registry import Registry
from moby_py.validation import resolve


def network(options: str) -> str:
    return WHOLE.replace("network: none", f"network: {{use: bridge, with: {options}}}")


SEVEN = """\
blueprint: 1
name: Shop
nmae: x
components:
  runtime: [runc, runc]
  image_store: overlya
  network: {use: bridge, with: {mtu: big, sunbet: x, tag: "${tga}"}}
  runtimes: runc
vars: {tag: yes}
"""


def test_many_mistakes_are_all_told_in_one_run(desk: Desk) -> None:
    assert desk.problems(SEVEN) == [
        'shop.yaml:2:7: name: "Shop" is not a name - lower-case letters, digits, '
        "'-', '_' and '.', at most 63, a letter or digit first",
        'shop.yaml:3:1: nmae: unknown key "nmae" | did you mean "name"?',
        'shop.yaml:5:19: components.runtime[1]: another runtime has the name "runc" already '
        f"(the other is at {desk.directory}/shop.yaml:5:13) | "
        'give it a name of its own: {use: "runc", as: NAME}'.replace(f"{desk.directory}/", ""),
        'shop.yaml:7:59: components.network.with.tag: variable "tga" is not known | did you mean "tag"?',
        "shop.yaml:9:13: vars.tag: yes is true or false or text, depending on who reads it | "
        'write true or "yes" for text',
        'shop.yaml:6:16: components.image_store.use: there is no image_store named "overlya" | '
        'did you mean "overlay"?',
        'shop.yaml:7:38: components.network.with.mtu: "big" is not a whole number | MTU.',
        'shop.yaml:7:43: components.network.with.sunbet: unknown option "sunbet" of network/bridge | '
        'did you mean "subnet"?',
        'shop.yaml:8:3: components.runtimes: unknown kind "runtimes" - no installed package '
        'brings a component of it | did you mean "runtime"?',
    ]


def test_resolve_tells_them_in_file_order(desk: Desk) -> None:
    with pytest.raises(BlueprintError) as caught:
        resolve(desk.write(SEVEN), desk.registry, environ={})
    assert [p.location.line for p in caught.value.problems] == [2, 3, 5, 6, 7, 7, 7, 8, 9]
    assert str(caught.value) == "9 problems in the blueprint"
    assert caught.value.exit_status == 2


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (
            "",
            "shop.yaml:1:1: components: missing - a platform is made of components"
            " | components: {runtime: ...}",
        ),
        (
            "components: runc\n",
            'shop.yaml:3:13: components: "runc" is not a map of kinds | components: {runtime: ...}',
        ),
        (
            PARTS.replace("runc", "[]"),
            "4:12: components.runtime: an empty list - name a runtime, or leave the key out",
        ),
        (PARTS.replace("runc", "3"), "4:12: components.runtime: 3 is no component | runtime: NAME"),
        (
            PARTS.replace("runc", "{as: x}"),
            "4:12: components.runtime: which runtime? - use is missing | use: NAME",
        ),
        (PARTS.replace("runc", "{use: 3}"), '4:18: components.runtime.use: 3 is not text | write "3"'),
        (
            PARTS.replace("runc", "{use: ../x}"),
            '4:18: components.runtime.use: "../x" is not the name of a component - '
            "lower-case letters, digits",
        ),
        (
            PARTS.replace("runc", "{use: runc, as: a/b}"),
            '4:28: components.runtime.as: "a/b" is not a name - lower-case letters, digits',
        ),
        (
            PARTS.replace("runc", "{use: runc, with: [x]}"),
            "4:30: components.runtime.with: a list is not a map of options",
        ),
        (
            PARTS.replace("runc", "{use: runc, root: x}"),
            '4:24: components.runtime.root: unknown key "root" | options stand under with: {...}',
        ),
        (
            PARTS.replace("runc", "runk"),
            'shop.yaml:4:12: components.runtime.use: there is no runtime named "runk" | did you mean "runc"?',
        ),
        (
            PARTS.replace("runc", "zzzzz"),
            'components.runtime.use: there is no runtime named "zzzzz" | known are runc, crun, bad',
        ),
        (
            PARTS.replace("runc", "bad"),
            "shop.yaml:4:12: components.runtime.use: runtime.bad (from acme 1): its option schema"
            " is not JSON | ask",
        ),
        (
            PARTS.replace("  runtime: runc\n", ""),
            "shop.yaml:3:1: components.runtime: missing - a platform has one runtime"
            " | runtime: runc or crun or bad",
        ),
        (
            PARTS.replace("overlay", "[overlay, {use: overlay, as: more}]"),
            "shop.yaml:5:26: components.image_store[1]: a second image_store - a platform has one",
        ),
        (PARTS + "  A b: x\n", '7:3: components["A b"]: "A b" is no kind'),
    ],
)
def test_the_envelope_of_components(desk: Desk, parts: str, expected: str) -> None:
    (found,) = desk.problems(HEAD + parts)
    assert expected in found


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("{mtu: big}", '6:38: components.network.with.mtu: "big" is not a whole number | MTU.'),
        ("{mtu: 1.5}", "6:38: components.network.with.mtu: 1.5 is not a whole number | MTU."),
        ("{mtu: true}", "6:38: components.network.with.mtu: true is not a whole number | MTU."),
        ("{mtu: null}", "6:38: components.network.with.mtu: null is not a whole number | MTU."),
        ("{mtu: [1]}", "6:38: components.network.with.mtu: a list is not a whole number | MTU."),
        ("{mtu: 12}", "6:38: components.network.with.mtu: 12 is too small - at least 576 | MTU."),
        ("{mtu: 99999}", "6:38: components.network.with.mtu: 99999 is too large - at most 9000 | MTU."),
        (
            "{subnet: abc}",
            '6:41: components.network.with.subnet: "abc" does not match ^[0-9./]+$ | '
            'for example "10.1.0.0/16"',
        ),
        ("{driver: vet}", '6:41: components.network.with.driver: "vet" is not "veth" or "macvlan"'),
        ("{ipv6: 1}", "6:39: components.network.with.ipv6: 1 is not true or false"),
        ("{ratio: x}", '6:40: components.network.with.ratio: "x" is not a number or null'),
        ("{keys: [a, a]}", "6:39: components.network.with.keys: a list holds the same entry twice"),
        ("{keys: [a, 1]}", "6:43: components.network.with.keys[1]: 1 is not text"),
        ("{labels: {x: 1}}", "6:45: components.network.with.labels.x: 1 is not text"),
        ("{labels: {'a.b': 1}}", '6:49: components.network.with.labels["a.b"]: 1 is not text'),
        (
            "{dns: {port: 99999}}",
            "6:45: components.network.with.dns.port: 99999 is too large - at most 65535",
        ),
        (
            "{dns: {prot: 1}}",
            '6:39: components.network.with.dns.prot: unknown option "prot" of network/bridge'
            ' | did you mean "port"?',
        ),
        (
            "{zzz: 1}",
            '6:33: components.network.with.zzz: unknown option "zzz" of network/bridge | known are mtu, ',
        ),
    ],
)
def test_options(desk: Desk, options: str, expected: str) -> None:
    (found,) = desk.problems(network(options))
    assert found.startswith(f"shop.yaml:{expected}")


def test_a_component_without_options_says_so(desk: Desk) -> None:
    (found,) = desk.problems(WHOLE.replace("network: none", "network: {use: none, with: {x: 1}}"))
    assert found == (
        'shop.yaml:6:31: components.network.with.x: unknown option "x" of network/none | it takes no options'
    )


def test_required_options(desk: Desk) -> None:
    (found,) = desk.problems(WHOLE + "  secrets: vault\n")
    assert found == (
        "shop.yaml:7:12: components.secrets.with.address: missing - secrets/vault needs it: "
        "URL of the server | with: {address: ...}"
    )
    (found,) = desk.problems(WHOLE + "  secrets: {use: vault, with: {address: '${nope}'}}\n")
    assert found.startswith('shop.yaml:7:41: components.secrets.with.address: variable "nope" is not known')


def test_in_a_list_the_position_is_named(desk: Desk) -> None:
    text = WHOLE.replace("runc", "[crun, {use: runc, with: {root: 3}}, {use: crun, as: b, with: {x: 1}}]")
    assert [line.partition(" |")[0] for line in desk.problems(text)] == [
        "shop.yaml:4:44: components.runtime[1].with.root: 3 is not text",
        'shop.yaml:4:75: components.runtime[2].with.x: unknown option "x" of runtime/crun',
    ]


def test_defaults_are_filled_in_and_paths_made_absolute(desk: Desk) -> None:
    blueprint = desk.good(network("{dns: {hosts: h.txt}, keys: [a, /b, ./c/../d]}"))
    here = desk.directory
    assert blueprint.selections[2].options == {
        "dns": {"hosts": f"{here}/h.txt", "port": 53},
        "keys": [f"{here}/a", "/b", f"{here}/d"],
        "mtu": 1500,
        "driver": "veth",
        "ipv6": False,
    }
    assert desk.good(network("{}")).selections[2].options["dns"] == {"port": 53}


def test_defaults_say_whose_they_are(desk: Desk) -> None:
    source = desk.good(network("{dns: {}}")).source
    assert str(source.origin("components.network.with.mtu")) == "default of network/bridge"
    assert str(source.origin("components.network.with.dns.port")) == "default of network/bridge"
    assert source.origin("components.network.with.dns").location.line == 6
    assert str(source.origin("components.engine.use")) == "default of moby-py"
    assert str(source.origin("components.api[0].with.group")) == "default of api/docker"


def test_a_kind_of_a_plugin(desk: Desk) -> None:
    blueprint = desk.good(WHOLE + "  mail: smtp\n")
    assert [s.kind for s in blueprint.selections] == [
        "runtime",
        "image_store",
        "network",
        "volume",
        "engine",
        "api",
        "mail",
    ]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"$ref": "http://127.0.0.1:1/schema.json"}, "a $ref leads nowhere: http://127.0.0.1:1/schema.json"),
        ({"properties": {"address": {"$ref": "#/$defs/gone"}}}, "a $ref leads nowhere: /$defs/gone"),
        ({"$ref": "#"}, "maximum recursion depth exceeded"),
        ({"properties": {"address": {"pattern": "("}}}, "missing ), unterminated subpattern at position 0"),
    ],
)
def test_a_schema_that_cannot_be_used_is_the_components_fault(
    desk: Desk, schema: dict[str, object], expected: str
) -> None:
    desk.registry = SmallRegistry({"secrets.vault": schema})
    (found,) = desk.problems(WHOLE + "  secrets: {use: vault, with: {address: x}}\n")
    assert found.startswith(
        "shop.yaml:7:18: components.secrets.use: "
        f"the option schema of secrets/vault cannot be used - {expected}"
    )
    assert found.endswith("| ask who made the component to mend it")


def test_branches_of_anyof(desk: Desk) -> None:
    schema = {
        "properties": {
            "size": {"anyOf": [{"type": "integer"}, {"const": "auto"}]},
            "form": {"oneOf": [{"type": "object", "required": ["a"]}, {"type": "object", "required": ["b"]}]},
        }
    }
    desk.registry = SmallRegistry({"secrets.vault": schema})
    found = desk.problems(WHOLE + "  secrets: {use: vault, with: {size: x, form: {c: 1}}}\n")
    assert found == [
        'shop.yaml:7:38: components.secrets.with.size: "x" is not a whole number or "auto"',
        "shop.yaml:7:47: components.secrets.with.form: a map fits none of the forms that are allowed",
    ]


def test_formats_are_checked(desk: Desk) -> None:
    schema = {**VAULT, "properties": {"address": {"type": "string", "format": "ipv4"}}}
    desk.registry = SmallRegistry({"secrets.vault": schema})
    (found,) = desk.problems(WHOLE + "  secrets: {use: vault, with: {address: 300.1.1.1}}\n")
    assert found == ('shop.yaml:7:41: components.secrets.with.address: "300.1.1.1" is not written as ipv4')


def test_without_options_jsonschema_is_not_imported(tmp_path: Path) -> None:
    """It costs 70 ms, and quickstart writes no options."""
    import subprocess

    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2]);"
        "from blueprint_kit import Desk, WHOLE; Desk(Path(sys.argv[1])).good(WHOLE);"
        "print('jsonschema' in sys.modules)"
    )
    argv = [sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent)]
    assert subprocess.run(argv, check=True, capture_output=True, text=True).stdout == "False\n"


def test_the_real_registry_is_one_that_validation_can_ask(desk: Desk) -> None:
    text = WHOLE.replace("none", "{use: hots}") + "  secrets: {use: age, with: {identiti: x}}\n"
    loaded = resolve_problems(desk, text)
    assert 'components.network.use: there is no network named "hots" | did you mean "host"?' in loaded[0]
    assert 'unknown option "identiti" of secrets/age | did you mean "identity"?' in loaded[1]


def resolve_problems(desk: Desk, text: str) -> list[str]:
    with pytest.raises(BlueprintError) as caught:
        resolve(desk.write(text), Registry(), environ={})
    return [desk.told(problem) for problem in caught.value.problems]
