"""The option schema of a component: a JSON file beside its code, read without running the code."""

from __future__ import annotations

import json
from typing import Any

from moby_py.errors import PluginError
from moby_py.locate import beside

MAX_SIZE = 1 << 20


def no_options() -> dict[str, Any]:
    """The schema of a component that ships none: it takes no options."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": False,
        "properties": {},
    }


def read_schema(module: str, name: str, who: str) -> dict[str, Any] | None:
    """The schema file `name` beside `module`; None when there is none. `who` is the component, with
    its distribution, as messages say it. Raises PluginError when the file is no JSON object."""
    path = beside(module, name)
    if path is None:
        return None
    try:
        if path.stat().st_size > MAX_SIZE:
            raise PluginError(f"{who}: its option schema {path} is larger than {MAX_SIZE >> 20} MiB")
        schema = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise PluginError(f"{who}: its option schema {path} is not JSON - {error}") from error
    if not isinstance(schema, dict):
        raise PluginError(f"{who}: its option schema {path} is not a JSON object")
    return schema


def check_schema(schema: dict[str, Any], who: str) -> None:
    """Raises PluginError unless `schema` is a valid draft 2020-12 schema for an object."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = ".".join(str(part) for part in error.absolute_path) or "its top"
        raise PluginError(
            f"{who}: its option schema is not valid JSON Schema (draft 2020-12) - "
            f"at {where}: {error.message}",
            hint="https://json-schema.org/draft/2020-12",
        ) from error
    if schema.get("type", "object") != "object":
        raise PluginError(
            f"{who}: its option schema describes a {schema['type']} - options are always an object",
            hint='say "type": "object" at its top',
        )
