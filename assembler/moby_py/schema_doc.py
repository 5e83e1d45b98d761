"""One JSON Schema for whole blueprints, for editors: every known component's options included.

What it calls wrong is wrong; a blueprint that extends others may leave out what they say, so the
schema asks for less than `check` does. A text with a variable in it (`"${mtu}"`) fits everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from moby_py.blueprint.shape import NAME
from moby_py.errors import PluginError
from moby_py.kinds import DEFAULTS, KINDS, MANY, REQUIRED
from moby_py.registry import DISTRIBUTION, Registry

DRAFT = "https://json-schema.org/draft/2020-12/schema"
REFERENCE = {"$ref": "#/$defs/variable"}
_FREE_TEXT = {"type", "title", "description", "default", "examples", "$comment"}
_CONTAINERS = ("object", "array")


@dataclass(frozen=True, slots=True)
class Document:
    """The schema, and one line for each component that could not be part of it."""

    schema: dict[str, Any]
    left_out: tuple[str, ...]

    def text(self) -> str:
        """As it is written to a file: the same components give the same bytes."""
        return json.dumps(self.schema, indent=2, ensure_ascii=False) + "\n"


def document(registry: Registry, *, builtin: bool = False) -> Document:
    """The merged schema of all components of `registry`; of ours alone with `builtin`.

    Never raises for a broken component: it is accepted with any options, and named in `left_out`.
    """
    entries = [e for e in registry.entries() if not builtin or e.distribution == DISTRIBUTION]
    names: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for entry in entries:
        names.setdefault(entry.kind, [])
        if entry.name not in names[entry.kind]:
            names[entry.kind].append(entry.name)
    definitions: dict[str, Any] = {
        "name": {"type": "string", "anyOf": [{"pattern": f"^{NAME.pattern}$"}, REFERENCE]},
        "variable": {
            "description": "A text with a variable in it: ${name}, ${env:NAME} or ${env:NAME:-default}.",
            "type": "string",
            "pattern": r"\$\{",
        },
    }
    left_out: list[str] = []
    for kind, known in names.items():
        told = []
        for name in known:
            try:
                schema = registry.schema(kind, name)
            except PluginError as error:
                left_out.append(error.message)
                told.append((name, ""))
                continue
            definitions[f"{kind}.{name}"] = _options(schema, f"#/$defs/{kind}.{name}")
            told.append((name, str(schema.get("description", ""))))
        definitions[f"{kind}.one"] = _selection(kind, told, definitions)
    return Document(_envelope(list(names), definitions), tuple(left_out))


def _envelope(kinds: Sequence[str], definitions: dict[str, Any]) -> dict[str, Any]:
    return {
        "$schema": DRAFT,
        "title": "moby-py blueprint",
        "description": "Which components a container platform is made of, and with which options.",
        "type": "object",
        "additionalProperties": False,
        "required": ["blueprint"],
        "properties": {
            "blueprint": {"description": "Version of the language.", "const": 1},
            "name": {
                "description": "Name of the platform: of its directories, its command and its units.",
                **{"$ref": "#/$defs/name"},
            },
            "extends": {
                "description": "Blueprints to start from, relative to this file. Maps merge deep, lists "
                "replace, null takes away; what is said here goes before.",
                "anyOf": [
                    {"type": "string", "minLength": 1},
                    {"type": "array", "items": {"type": "string", "minLength": 1}},
                    {"type": "null"},
                ],
            },
            "vars": {
                "description": "Variables for ${name}; --var NAME=VALUE gives another value. One without "
                "a value must be given.",
                "type": ["object", "null"],
                "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_-]*$"},
                "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
            },
            "components": {
                "description": "The parts, by kind.",
                "type": "object",
                "additionalProperties": False,
                "properties": {kind: _kind(kind) for kind in kinds},
            },
            "images": {
                "description": "Images that are present once the platform is up.",
                "type": ["array", "null"],
                "items": {"type": "string", "minLength": 1},
            },
        },
        "$defs": definitions,
    }


def _kind(kind: str) -> dict[str, Any]:
    one = {"$ref": f"#/$defs/{kind}.one"}
    many = kind in MANY or kind not in KINDS
    words = [f"The {kind}: NAME, or {{use: NAME, with: {{...}}}}."]
    if many:
        words.append("A list for several; the first is the default.")
    if kind in DEFAULTS:
        words.append(f"Default: {DEFAULTS[kind]}.")
    if kind in REQUIRED:
        words.append("Every platform has one.")
    several: dict[str, Any] = {"type": "array", "minItems": 1, "items": one}
    if not many:
        several["maxItems"] = 1
    return {"description": " ".join(words), "anyOf": [one, several, {"type": "null"}]}


def _selection(kind: str, told: Sequence[tuple[str, str]], definitions: dict[str, Any]) -> dict[str, Any]:
    """One component of a kind: its name, or a map whose `with` depends on its `use`."""
    choices = [{"const": name, "description": text} if text else {"const": name} for name, text in told]
    use = {"description": f"Which {kind}.", "anyOf": [*choices, REFERENCE]}
    options = [
        {
            "if": {"properties": {"use": {"const": name}}, "required": ["use"]},
            "then": {
                "properties": {"with": {"anyOf": [{"$ref": f"#/$defs/{kind}.{name}"}, {"type": "null"}]}}
            },
        }
        for name, _ in told
        if f"{kind}.{name}" in definitions
    ]
    long: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "use": use,
            "as": {
                "description": f"Its name in this platform; needed where two of one {kind} are used.",
                "$ref": "#/$defs/name",
            },
            "with": {"description": "Its options.", "type": ["object", "null"]},
        },
    }
    if options:
        long["allOf"] = options
    return {"if": {"type": "object"}, "then": long, "else": {"type": "string", **use}}


def _options(schema: dict[str, Any], place: str) -> dict[str, Any]:
    """A component's schema as part of the document: references moved, variables allowed."""
    moved = _moved(schema, place)
    moved.pop("$schema", None)
    moved.pop("$id", None)
    opened: dict[str, Any] = _open(moved)
    return opened


def _moved(value: Any, place: str) -> Any:
    """A copy whose references into its own file lead to where it is now."""
    if isinstance(value, list):
        return [_moved(item, place) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: place + child[1:]
        if key == "$ref" and isinstance(child, str) and child.startswith("#")
        else _moved(child, place)
        for key, child in value.items()
    }


def _open(schema: Any) -> Any:
    """A copy that takes a text with a variable in it wherever it asks for a particular scalar."""
    if not isinstance(schema, dict):
        return schema
    opened = dict(schema)
    for key in ("properties", "$defs", "patternProperties"):
        if isinstance(schema.get(key), dict):
            opened[key] = {name: _open(child) for name, child in schema[key].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            opened[key] = _open(schema[key])
    if schema.get("type") in _CONTAINERS or "properties" in schema or "$ref" in schema:
        return opened
    if schema.get("type") == "string" and not set(schema) - _FREE_TEXT - {"format"}:
        return opened
    kept = {key: opened[key] for key in ("title", "description", "default", "examples") if key in opened}
    rule = {key: child for key, child in opened.items() if key not in kept}
    return {**kept, "anyOf": [rule, REFERENCE]} if rule else opened
