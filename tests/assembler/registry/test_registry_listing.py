"""Listing is cheap and imports no component; built-ins and schemas are in order."""

from __future__ import annotations

import subprocess
import sys

import pytest

from moby_components import BUILTINS
from moby_py.errors import PluginError
from moby_py.registry import Registry
from moby_py.schema_files import check_schema


def test_every_built_in_is_listed_once_in_the_order_of_the_kinds() -> None:
    keys = [e.key for e in Registry().entries() if e.distribution == "moby-py"]
    assert sorted(keys) == sorted(BUILTINS)
    assert [k.split(".")[0] for k in keys] == sorted(
        (k.split(".")[0] for k in BUILTINS),
        key=["runtime", "image_store", "network", "volume", "secrets", "engine", "api"].index,
    )


def test_listing_and_schemas_import_no_component() -> None:
    code = """
import sys
from moby_py.registry import Registry
r = Registry()
for e in r.entries():
    r.schema(e.kind, e.name)
print([m for m in sys.modules if m.startswith("moby_components.") or m in ("jsonschema", "rich", "aiohttp")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("key", BUILTINS)
def test_every_built_in_loads_keeps_its_contract_and_has_a_valid_schema(key: str) -> None:
    kind, _, name = key.partition(".")
    registry = Registry()
    cls = registry.load(kind, name)
    assert (cls.kind, cls.name) == (kind, name)
    assert cls.summary
    schema = registry.schema(kind, name)
    check_schema(schema, key)
    assert schema["additionalProperties"] is False


def test_an_unknown_name_comes_with_a_guess() -> None:
    with pytest.raises(PluginError) as caught:
        Registry().load("runtime", "rnuc")
    assert caught.value.message == "there is no runtime named 'rnuc' - no installed package brings one"
    assert caught.value.hint == "did you mean 'runc'?"


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "strin"}, "x: its option schema is not valid JSON Schema (draft 2020-12) - at type: "),
        ({"type": "array"}, "x: its option schema describes a array - options are always an object"),
    ],
)
def test_bad_schemas_are_told(schema: dict[str, object], message: str) -> None:
    with pytest.raises(PluginError) as caught:
        check_schema(schema, "x")
    assert caught.value.message.startswith(message)
