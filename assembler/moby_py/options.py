"""A component's options made complete: defaults filled in, paths made absolute, texts that came out of
variables read as the number or word that the schema asks for.

Only what a schema says plainly is followed: `properties`, `items`, `additionalProperties` and local
`$ref`s. What is true of one branch of an `anyOf` is the component's own business.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moby_py.blueprint.document import core_type, scalar
from moby_py.blueprint.model import Selection
from moby_py.problems import Location
from moby_py.provenance import Origin, SourceMap, join

_TAGS = {"integer": ("int",), "number": ("int", "float"), "boolean": ("bool",)}


@dataclass(slots=True)
class Filled:
    """The complete options, and the origin of what was not written."""

    options: dict[str, Any]
    origins: dict[str, Origin] = field(default_factory=dict)


def complete(item: Selection, schema: Mapping[str, Any], source: SourceMap) -> Filled:
    """The options of one selection as its component gets them. Pure; nothing is validated."""
    filled = Filled({})
    walk = _Walk(schema, source, Origin("default", Location(""), f"{item.kind}/{item.use}"), filled.origins)
    path = join(_list_form(item), "with")
    if path not in source.origins:
        filled.origins[path] = walk.default
    filled.options = walk.object(dict(item.options), schema, path)
    return filled


def _list_form(item: Selection) -> str:
    return item.path if item.path.endswith("]") else join(item.path, 0)


@dataclass(slots=True)
class _Walk:
    root: Mapping[str, Any]
    source: SourceMap
    default: Origin
    origins: dict[str, Origin]

    def value(self, value: Any, schema: Any, path: str) -> Any:
        schema = local(self.root, schema)
        if isinstance(value, dict):
            return self.object(value, schema, path)
        if isinstance(value, list):
            items = schema.get("items", {})
            return [self.value(child, items, join(path, index)) for index, child in enumerate(value)]
        origin = self.source.origins.get(path)
        if origin is None or origin.broken:
            return value
        if origin.text is not None:
            value = retyped(value, origin.text, schema.get("type"))
        if isinstance(value, str) and value and schema.get("format") == "path":
            return absolute(value, origin.directory)
        return value

    def object(self, value: Mapping[str, Any], schema: Any, path: str) -> dict[str, Any]:
        schema = local(self.root, schema)
        properties = schema.get("properties", {})
        others = schema.get("additionalProperties", {})
        done = {}
        for key, child in value.items():
            inner = properties.get(key, others)
            done[key] = self.value(child, inner, join(path, key))
        for key, inner in properties.items():
            inner = local(self.root, inner)  # noqa: PLW2901
            if key not in done and "default" in inner:
                done[key] = self._fill(deepcopy(inner["default"]), inner, join(path, key))
        return done

    def _fill(self, value: Any, schema: Any, path: str) -> Any:
        if isinstance(value, dict):
            value = self.object(value, schema, path)
        self._mark(value, path)
        return value

    def _mark(self, value: Any, path: str) -> None:
        self.origins[path] = self.default
        if isinstance(value, dict):
            for key, child in value.items():
                self._mark(child, join(path, key))
        elif isinstance(value, list):
            for index, child in enumerate(value):
                self._mark(child, join(path, index))


def local(root: Mapping[str, Any], schema: Any) -> Mapping[str, Any]:
    """The schema with a `$ref` into its own file followed; {} for what is no plain object."""
    for _ in range(8):
        if not isinstance(schema, dict):
            return {}
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#"):
            return schema
        target: Any = root
        for part in reference[1:].split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            target = target.get(key) if isinstance(target, dict) else None
        siblings = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**target, **siblings} if isinstance(target, dict) else {}
    return {}


def retyped(value: Any, text: str, wanted: Any) -> Any:
    """A value out of variables as the schema's type, where its text says one; else as it is."""
    types = [wanted] if isinstance(wanted, str) else wanted if isinstance(wanted, list) else []
    if not types:
        return value
    if not isinstance(value, str):
        return text if types == ["string"] else value
    if "string" in types:
        return value
    tag = core_type(text)
    for name in types:
        if tag in _TAGS.get(name, ()):
            number = scalar(tag, text)
            return value if number is None else number
    return value


def absolute(path: str, directory: str) -> str:
    """A path as the user meant it: `~/` is the home directory, relative to the file that says it."""
    if path == "~" or path.startswith("~/"):
        path = os.path.expanduser(path)  # noqa: PTH111 - pathlib raises where there is no home
    return os.path.normpath(Path(directory) / path) if directory else path
