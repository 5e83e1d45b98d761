"""A small registry of the validation protocol, and a way to write a blueprint and read its problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moby_py.blueprint import Blueprint, load
from moby_py.errors import PluginError
from moby_py.problems import Problem
from moby_py.validation import resolve, validate

BRIDGE: dict[str, Any] = {
    "type": "object",
    "description": "A bridge.",
    "additionalProperties": False,
    "properties": {
        "mtu": {"type": "integer", "minimum": 576, "maximum": 9000, "default": 1500, "description": "MTU."},
        "subnet": {"type": "string", "pattern": r"^[0-9./]+$", "examples": ["10.1.0.0/16"]},
        "driver": {"enum": ["veth", "macvlan"], "default": "veth"},
        "ipv6": {"type": "boolean", "default": False},
        "keys": {"type": "array", "uniqueItems": True, "items": {"type": "string", "format": "path"}},
        "dns": {
            "type": "object",
            "additionalProperties": False,
            "default": {},
            "properties": {
                "port": {"$ref": "#/$defs/port", "default": 53},
                "hosts": {"type": "string", "format": "path"},
            },
        },
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "tag": {"type": "string"},
        "ratio": {"type": ["number", "null"]},
    },
    "$defs": {"port": {"type": "integer", "maximum": 65535}},
}
VAULT: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["address"],
    "properties": {
        "address": {"type": "string", "description": "URL of the server. More words."},
        "token_file": {"type": "string", "format": "path"},
    },
}
NOTHING: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": {}}


@dataclass(frozen=True)
class Named:
    kind: str
    name: str


class SmallRegistry:
    """What validation asks of a registry, over a table of schemas."""

    def __init__(self, schemas: Mapping[str, Any] | None = None) -> None:
        self.schemas: dict[str, Any] = {
            "runtime.runc": {**NOTHING, "properties": {"root": {"type": "string", "format": "path"}}},
            "runtime.crun": NOTHING,
            "image_store.overlay": NOTHING,
            "network.bridge": BRIDGE,
            "network.none": NOTHING,
            "volume.local": NOTHING,
            "secrets.vault": VAULT,
            "engine.moby": NOTHING,
            "api.docker": {**NOTHING, "properties": {"group": {"type": "string", "default": ""}}},
            "mail.smtp": NOTHING,
            "runtime.bad": PluginError(
                "runtime.bad (from acme 1): its option schema is not JSON", hint="ask"
            ),
            **(schemas or {}),
        }

    def entries(self) -> Sequence[Named]:
        return [Named(*key.split(".", 1)) for key in self.schemas]

    def names(self, kind: str) -> list[str]:
        return [entry.name for entry in self.entries() if entry.kind == kind]

    def schema(self, kind: str, name: str) -> dict[str, Any]:
        found = self.schemas[f"{kind}.{name}"]
        if isinstance(found, Exception):
            raise found
        return dict(found)


HEAD = "blueprint: 1\nname: shop\n"
PARTS = "components:\n  runtime: runc\n  image_store: overlay\n  network: none\n"
WHOLE = HEAD + PARTS


class Desk:
    """Writes files into one directory and reads them as blueprints."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.registry = SmallRegistry()

    def write(self, text: str | bytes, name: str = "shop.yaml") -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def problems(self, text: str | bytes, *sets: str, **given: Any) -> list[str]:
        """All problems of a blueprint, one line each with its hint, directory left out."""
        loaded = load(self.write(text), sets=sets, **{"environ": {}, **given})
        found = list(loaded.problems)
        if loaded.blueprint is not None:
            found += validate(loaded.blueprint, self.registry)[1]
        return [self.told(problem) for problem in found]

    def told(self, problem: Problem) -> str:
        line = str(problem) + (f" | {problem.hint}" if problem.hint else "")
        return line.replace(f"{self.directory}/", "")

    def good(self, text: str, *sets: str, **given: Any) -> Blueprint:
        return resolve(self.write(text), self.registry, sets=sets, **{"environ": {}, **given})
