"""The values of the blueprint language."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from moby_py.problems import Location, Problem
from moby_py.provenance import Origin, SourceMap

MAX_PROBLEMS = 100


@dataclass(frozen=True, slots=True)
class Selection:
    """One component that the blueprint names.

    `id` is its `as`, else its `use`. `path` is its place as the user wrote it: "components.network",
    or "components.runtime[1]" in a list.
    """

    kind: str
    use: str
    id: str
    options: Mapping[str, Any]
    path: str


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A blueprint with everything said out: extends merged, variables replaced, short forms long.

    `data` is the same as plain data, in the form of OUT/platform.yaml. After
    `moby_py.validation.validate` it holds every default; before, only what was written.
    `variables` are the values of `vars`, for `explain`.
    """

    name: str
    selections: tuple[Selection, ...]
    images: tuple[str, ...]
    data: dict[str, Any]
    source: SourceMap
    file: Path
    variables: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What `load` found. A blueprint may come with problems: what could be read of it, so that
    `validate` finds the problems in its options too. Nothing else may be done with it then."""

    blueprint: Blueprint | None
    problems: list[Problem]


@dataclass(frozen=True, slots=True)
class Node:
    """A value on its way to become part of a blueprint. Never changed in place: aliases share nodes.

    value:  str, int, float, bool or None; dict[str, Node]; list[Node]
    keys:   where each key of a map stands
    text:   a scalar as it was written
    """

    value: Any
    origin: Origin
    keys: Mapping[str, Location] = field(default_factory=dict)
    text: str = ""

    @property
    def location(self) -> Location:
        return self.origin.location

    def told(self) -> str:
        """The value as a message quotes it: short, and never what an environment variable holds."""
        if isinstance(self.value, dict):
            return "a map"
        if isinstance(self.value, list):
            return "a list"
        if self.origin.shown is not None:
            return quoted(self.origin.shown)
        return quoted(self.value)


def quoted(value: object) -> str:
    """A scalar as messages quote it: "text", 12, true, null; cut when it is long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if not isinstance(value, str):
        return str(value)
    text = value if len(value) <= 80 else value[:77] + "..."
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def plain(node: Node) -> Any:
    """The node as plain data."""
    if isinstance(node.value, dict):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [plain(child) for child in node.value]
    return node.value


class Problems(list[Problem]):
    """Collects problems; a flood ends at the hundredth."""

    def about(self, node: Node, path: str, message: str, hint: str | None = None) -> None:
        """A problem with a value, unless one is told about it already."""
        if not node.origin.broken:
            self.add(node.location, path, message, hint)

    def add(self, location: Location, path: str, message: str, hint: str | None = None) -> None:
        if len(self) < MAX_PROBLEMS:
            self.append(Problem(location, path, message, hint))
        elif len(self) == MAX_PROBLEMS:
            self.append(
                Problem(Location(self[0].location.file), "", "and more - only the first 100 are told")
            )

    @property
    def full(self) -> bool:
        return len(self) > MAX_PROBLEMS


def ordered(problems: Iterable[Problem], first: str) -> list[Problem]:
    """In file order: the file `first`, the others as they turn up; then line and column."""
    told = list(problems)
    rank = {first: 0}
    for problem in told:
        rank.setdefault(problem.location.file, len(rank))
    return sorted(told, key=lambda p: (rank[p.location.file], p.location.line, p.location.column, p.path))


def suggestion(word: str, known: Sequence[str], otherwise: str | None = None) -> str | None:
    """The hint for an unknown word: did you mean this one?"""
    if len(word) <= 80:
        close = get_close_matches(word, known, n=1)
        if close:
            return f'did you mean "{close[0]}"?'
    return otherwise
