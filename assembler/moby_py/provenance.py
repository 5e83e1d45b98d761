"""Where a value of a blueprint comes from: paths, origins, and the map from one to the other.

A path is what problems, `--set` and `explain` call a place: `components.runtime[1].with.root`. Keys
that are no plain words stand in brackets and quotes: `labels["a.b"]`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from moby_py.problems import Location

Part = str | int
How = Literal["file", "extends", "default", "--set", "--var", "env"]

_PLAIN = re.compile(r"[A-Za-z0-9_$-]+")
_STEP = re.compile(r'\.?([A-Za-z0-9_$-]+)|\[(\d{1,6})\]|\[("(?:[^"\\]|\\.)*")\]')
MAX_PATH = 1000


def join(path: str, *parts: Part) -> str:
    """`path` with further parts: join("components", "runtime", 0) is "components.runtime[0]"."""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        elif _PLAIN.fullmatch(part):
            path += f".{part}" if path else part
        else:
            path += f"[{json.dumps(part, ensure_ascii=False)}]"
    return path


def split(path: str) -> list[Part]:
    """The parts of a path; the reverse of `join`. Raises ValueError when it is none."""
    parts: list[Part] = []
    at = 0
    if not path or len(path) > MAX_PATH or path[0] == ".":
        raise ValueError(path[:MAX_PATH])
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None or (step[1] and at and path[at] != "."):
            raise ValueError(path)
        parts.append(step[1] or (int(step[2]) if step[2] else json.loads(step[3])))
        at = step.end()
    return parts


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one value was said.

    how:        "file" (the blueprint itself), "extends" (a file it extends), "default" (a schema's, or
                the house's), "--set", or "--var" and "env" where the text names such a variable
    location:   of the text in its file; of nothing in particular for defaults and --set
    detail:     the rest, ready to print: "with subnet from shop.yaml:3:9", "network/bridge"
    directory:  where a relative path in it starts
    shown:      the text to show instead of the value, because environment variables went into it
    text:       the value as text when it came out of variables; a schema may read it as a number
    broken:     it has a problem already, and what follows from it need not be told
    over:       what it replaced
    """

    how: How
    location: Location
    detail: str = ""
    directory: str = ""
    shown: str | None = None
    text: str | None = None
    broken: bool = False
    over: Origin | None = None

    def __str__(self) -> str:
        if self.how == "default":
            return f"default of {self.detail}"
        return f"{self.location}{', ' if self.detail else ''}{self.detail}"


@dataclass(frozen=True, slots=True)
class SourceMap:
    """Origin of every value, by its path in the resolved blueprint.

    There every kind holds a list; `components.network.with` means the first one, as users write it.
    """

    file: str
    origins: Mapping[str, Origin]
    keys: Mapping[str, Location] = field(default_factory=dict)

    def origin(self, path: str) -> Origin:
        """Of the value at `path`, or of the nearest value around it."""
        path = canonical(path)
        while path:
            if path in self.origins:
                return self.origins[path]
            path = _parent(path)
        return self.origins.get("", Origin("file", Location(self.file)))

    def location(self, path: str) -> Location:
        """Where the value at `path` stands, or the nearest value around it."""
        return self.origin(path).location

    def key_location(self, path: str) -> Location:
        """Where the key of the value at `path` stands; the value itself where it has no key."""
        return self.keys.get(canonical(path)) or self.location(path)

    def shown(self, path: str) -> str | None:
        """The text that stands for a value made of environment variables; None: show the value."""
        found = self.origins.get(canonical(path))
        return found.shown if found else None

    def below(self, path: str) -> Iterator[Origin]:
        """The origins of the value at `path` and of everything in it."""
        path = canonical(path)
        for key, origin in self.origins.items():
            if within(key, path):
                yield origin

    def extended(self, more: Mapping[str, Origin]) -> SourceMap:
        """A copy that knows these values too."""
        return SourceMap(self.file, {**self.origins, **more}, self.keys)


def within(path: str, root: str) -> bool:
    """True when `path` is `root` or in it."""
    return not root or path == root or (path.startswith(root) and path[len(root)] in ".[")


def canonical(path: str) -> str:
    """`components.network.with.mtu` -> `components.network[0].with.mtu`."""
    return re.sub(r"^(components\.[^.\[\]]+)(?=\.)", r"\1[0]", path)


def _parent(path: str) -> str:
    try:
        return join("", *split(path)[:-1])
    except ValueError:
        return ""
