"""What `explain` says: the values of a resolved blueprint, each with where it comes from.

Where environment variables went into a value, the text that names them is said in its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from moby_py.blueprint.model import Blueprint, quoted
from moby_py.errors import InvalidArgument
from moby_py.provenance import Origin, Part, canonical, join, split


@dataclass(frozen=True, slots=True)
class Explained:
    """One value. `value` is safe to print; `masked` says that it stands for another one."""

    path: str
    value: Any
    masked: bool
    origin: Origin

    def as_json(self) -> dict[str, Any]:
        where = self.origin.location
        return {
            "path": self.path,
            "value": self.value,
            "masked": self.masked,
            "how": self.origin.how,
            "file": where.file,
            "line": where.line,
            "column": where.column,
            "detail": self.origin.detail,
        }


def explain(blueprint: Blueprint, path: str = "") -> list[Explained]:
    """Every scalar (and empty map or list) at or under `path`, in the order of platform.yaml.

    Raises InvalidArgument when there is nothing at `path`.
    """
    data = {**blueprint.data, **({"vars": dict(blueprint.variables)} if blueprint.variables else {})}
    if not path:
        return list(_leaves(blueprint, data, ""))
    full = canonical(path)
    return list(_leaves(blueprint, _at(data, full, path), full))


def _leaves(blueprint: Blueprint, value: Any, path: str) -> Iterator[Explained]:
    children: list[tuple[Part, Any]] = []
    if isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    for part, child in children:
        yield from _leaves(blueprint, child, join(path, part))
    if not children:
        shown = blueprint.source.shown(path)
        origin = blueprint.source.origin(path)
        yield Explained(path, value if shown is None else shown, shown is not None, origin)


def _at(data: Any, full: str, path: str) -> Any:
    try:
        parts = split(full)
    except ValueError:
        raise InvalidArgument(f"{quoted(path)} is not a path", hint="components.runtime[0].with") from None
    value, done = data, ""
    for part in parts:
        here = isinstance(value, dict) and part in value
        if not here and not (isinstance(value, list) and isinstance(part, int) and part < len(value)):
            raise InvalidArgument(f"the blueprint has nothing at {path}", hint=_hint(value, part, done))
        value = value[part]
        done = join(done, part)
    return value


def _hint(value: Any, part: Part, done: str) -> str | None:
    if isinstance(value, list):
        return f"{done} has {len(value)} item{'s' if len(value) != 1 else ''}"
    if not isinstance(value, dict) or not value:
        return f"{done} has nothing in it" if done else None
    close = get_close_matches(str(part), value, n=1)
    if close:
        return f"did you mean {join(done, close[0])}?"
    return f"{done or 'a blueprint'} has {', '.join(value)}"


def lines(blueprint: Blueprint) -> Iterator[tuple[str, str]]:
    """The whole tree as YAML, line by line, each with its origin (or "")."""
    items = explain(blueprint)
    shown: list[Part] = []
    for item in items:
        parts = split(item.path)
        same = 0
        while same < len(parts) - 1 and same < len(shown) and parts[same] == shown[same]:
            same += 1
        yield from _opening(parts, same, _scalar(item.value), str(item.origin))
        shown = parts


def _opening(parts: list[Part], same: int, value: str, origin: str) -> Iterator[tuple[str, str]]:
    """The lines from the first new part of a path down to its value."""
    dashes = ""
    for depth in range(same, len(parts)):
        part = parts[depth]
        last = depth == len(parts) - 1
        if isinstance(part, int):
            dashes = (dashes or "  " * depth) + "- "
            if last:
                yield dashes + value, origin
            continue
        key = part if part.replace("_", "").replace("-", "").isalnum() else quoted(part)
        text = f"{dashes or '  ' * depth}{key}:"
        dashes = ""
        yield (f"{text} {value}", origin) if last else (text, "")


def _scalar(value: Any) -> str:
    """A value as YAML on one line."""
    import json

    if isinstance(value, str) and _is_plain(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _is_plain(text: str) -> bool:
    from moby_py.blueprint.document import core_type

    safe = bool(text) and all(c.isalnum() or c in "._/-:@+" for c in text) and text[0] not in "-:@"
    return safe and not text.endswith(":") and core_type(text) == "str"
