"""`moby-py schema`: one valid schema that agrees with what `check` says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from blueprint_kit import HEAD, WHOLE, SmallRegistry
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from moby_py.cli.schema import schema as command
from moby_py.registry import Registry
from moby_py.schema_doc import document

ROOT = Path(__file__).parents[3]
COPY = ROOT / "docs/reference/blueprint.schema.json"
BLUEPRINTS = sorted((ROOT / "blueprints").glob("*.yaml"))


class FullRegistry(SmallRegistry):
    """The small registry with what the schema document asks for besides."""

    def entries(self) -> Any:
        from moby_py.registry import Entry

        return [
            Entry(entry.kind, entry.name, "moby-py" if entry.kind != "mail" else "acme", "1", "x")
            for entry in super().entries()
        ]


@pytest.fixture
def small() -> dict[str, Any]:
    return document(FullRegistry()).schema  # type: ignore[arg-type]


def errors(schema: dict[str, Any], text: str) -> list[str]:
    return [e.json_path for e in Draft202012Validator(schema).iter_errors(yaml.safe_load(text))]


def test_the_committed_copy_is_fresh() -> None:
    made = document(Registry(), builtin=True)
    assert made.left_out == ()
    assert COPY.read_text(encoding="utf-8") == made.text(), "run `make docs`"


def test_it_is_a_valid_schema(small: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(small)
    Draft202012Validator.check_schema(document(Registry()).schema)


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.name)
def test_our_blueprints_fit(path: Path) -> None:
    assert errors(json.loads(COPY.read_text(encoding="utf-8")), path.read_text(encoding="utf-8")) == []


def test_every_property_is_described() -> None:
    silent = []

    def look(value: Any, path: str) -> None:
        if isinstance(value, dict):
            for name, child in value.get("properties", {}).items():
                plain = isinstance(child, dict) and set(child) != {"const"}
                if plain and not child.get("description"):
                    silent.append(f"{path}.{name}")
            for key, child in value.items():
                if key != "allOf":  # says more of properties that are described beside it
                    look(child, f"{path}.{key}")
        elif isinstance(value, list):
            for index, child in enumerate(value):
                look(child, f"{path}[{index}]")

    look(document(Registry(), builtin=True).schema, "")
    assert silent == []


@pytest.mark.parametrize(
    "text",
    [
        WHOLE,
        "blueprint: 1\n",
        "blueprint: 1\nextends: base.yaml\ncomponents: {runtime: {with: {root: x}}}\n",
        "blueprint: 1\nextends: [a.yaml, b.yaml]\nimages:\n",
        HEAD + "vars: {a: 1, b: x, c: true, d: }\ncomponents: {runtime: [runc, {use: crun, as: x}]}\n",
        HEAD + "components: {network: {use: bridge, with: {mtu: 1400, driver: veth, dns: {port: 53}}}}\n",
        HEAD
        + "components: {network: {use: bridge, with: {mtu: '${mtu}', driver: '${d}', subnet: 'a${b}'}}}\n",
        HEAD + "components: {network: {use: bridge, with: {dns: {port: '${env:PORT}'}, keys: ['${k}']}}}\n",
        HEAD + "components: {network: {use: '${net}', with: {anything: 1}}}\n",
        "blueprint: 1\nname: '${n}'\ncomponents: {runtime: '${rt}', network: null}\n",
        HEAD + "components: {runtime: {use: bad, with: {x: 1}}, mail: smtp}\n",
    ],
)
def test_what_is_right_fits(small: dict[str, Any], text: str) -> None:
    assert errors(small, text) == []


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("name: x\n", "$"),
        ("blueprint: 2\n", "$.blueprint"),
        (WHOLE + "nmae: x\n", "$"),
        ("blueprint: 1\nname: Shop\n", "$.name"),
        (WHOLE + "images: alpine\n", "$.images"),
        (WHOLE + "vars: {a: [1]}\n", "$.vars.a"),
        (HEAD + "components: {runtimes: runc}\n", "$.components"),
        (HEAD + "components: {runtime: runk}\n", "$.components.runtime"),
        (HEAD + "components: {runtime: []}\n", "$.components.runtime"),
        (HEAD + "components: {image_store: [overlay, overlay]}\n", "$.components.image_store"),
        (HEAD + "components: {runtime: {use: runk}}\n", "$.components.runtime"),
        (HEAD + "components: {runtime: {use: runc, root: x}}\n", "$.components.runtime"),
        (HEAD + "components: {network: {use: bridge, with: {sunbet: x}}}\n", "$.components.network"),
        (HEAD + "components: {network: {use: bridge, with: {mtu: big}}}\n", "$.components.network"),
        (HEAD + "components: {network: {use: bridge, with: {dns: {port: 99999}}}}\n", "$.components.network"),
        (HEAD + "components: {network: {use: none, with: {mtu: 1500}}}\n", "$.components.network"),
    ],
)
def test_what_is_wrong_does_not_fit(small: dict[str, Any], text: str, where: str) -> None:
    assert errors(small, text) == [where]


def test_a_broken_component_is_named_and_left_out() -> None:
    made = document(FullRegistry())  # type: ignore[arg-type]
    assert made.left_out == ("runtime.bad (from acme 1): its option schema is not JSON",)
    assert "runtime.bad" not in made.schema["$defs"]


def test_built_in_leaves_out_the_others() -> None:
    made = document(FullRegistry(), builtin=True)  # type: ignore[arg-type]
    assert "mail" not in made.schema["properties"]["components"]["properties"]


PLUGIN = """
from moby_py import Component, hookimpl
class Smtp(Component):
    kind, name, summary, schema = "mail", "smtp", "Mail.", "{schema}"
@hookimpl
def moby_components():
    return [Smtp]
"""


def test_a_plugin_file_is_part_of_it(tmp_path: Path) -> None:
    options = {"type": "object", "additionalProperties": False, "properties": {"host": {"type": "string"}}}
    (tmp_path / "smtp.schema.json").write_text(json.dumps(options))
    (tmp_path / "post_office.py").write_text(PLUGIN.replace("{schema}", "smtp.schema.json"))
    result = CliRunner().invoke(command, ["--plugin", str(tmp_path / "post_office.py")])
    assert result.exit_code == 0, result.output
    made = json.loads(result.stdout)
    assert errors(made, WHOLE + "  mail: {use: smtp, with: {host: x}}\n") == []
    assert errors(made, WHOLE + "  mail: {use: smtp, with: {hots: x}}\n") == ["$.components.mail"]


def test_it_is_written_to_a_file(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["--built-in", "-o", str(tmp_path / "x.json")])
    assert (result.exit_code, result.output) == (0, "")
    assert (tmp_path / "x.json").read_text() == document(Registry(), builtin=True).text()


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    from moby_py.errors import MobyError

    result = CliRunner().invoke(command, ["--built-in", "-o", str(tmp_path / "no/x.json")])
    assert isinstance(result.exception, MobyError)
    assert result.exception.message == f"cannot write {tmp_path}/no/x.json - no such file or directory"
