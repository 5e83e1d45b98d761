"""One YAML document: bytes -> Node tree, in bounded time and memory, every wrong thing located.

The tree is built from the parser's events, without recursion, so that depth and size are refused
while they are read. Of YAML, a blueprint has maps with text keys, lists, and the scalars of the YAML
1.2 core schema. Words that YAML 1.1 and 1.2 read differently (`yes`, 0755, 1_000, dates) are refused
with the way to say what is meant, instead of meaning one thing here and another in the editor.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

import yaml
from yaml.reader import Reader

from moby_py.blueprint.model import Node, Problems, quoted
from moby_py.problems import Location
from moby_py.provenance import How, Origin, join

MAX_BYTES = 1 << 20
MAX_VALUES = 20_000
MAX_DEPTH = 32
MAX_INTEGER = 1 << 63
MAX_DIRECTIVES = 16  # libyaml's time is quadratic in them

_TOO_LARGE = f"too large - a blueprint has at most {MAX_BYTES >> 20} MiB in all"
_TAG = "tag:yaml.org,2002:"
_CORE = (
    ("null", re.compile(r"~|null|Null|NULL|")),
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE")),
    ("int", re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")),
    (
        "float",
        re.compile(
            r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
        ),
    ),
)
_WORDS = {
    "bool": "true or false",
    "int": "a number",
    "float": "a number",
    "timestamp": "a date",
    "null": "nothing",
    "str": "text",
    "value": "a default",
    "merge": "a merge",
}


@dataclass(slots=True)
class Budget:
    """How much may still be read for one blueprint, all files together."""

    size: int = MAX_BYTES
    values: int = MAX_VALUES


@dataclass(slots=True)
class _Open:
    """A map or list that is being read."""

    node: Node
    path: str
    anchor: str | None = None
    key: str | None = None
    key_at: Location | None = None
    skip: bool = False
    values: int = 1
    size: int = 0


@dataclass(slots=True)
class _Stop(Exception):
    location: Location
    path: str
    message: str
    hint: str | None = None


@dataclass(slots=True)
class Parser:
    """Reads one document. `how` and `directory` go into the origin of every value."""

    file: str
    problems: Problems
    budget: Budget
    how: How = "file"
    detail: str = ""
    directory: str = ""
    _stack: list[_Open] = field(default_factory=list)
    _anchors: dict[str, tuple[Node, int, int]] = field(default_factory=dict)
    _root: Node | None = None

    def parse(self, data: bytes) -> Node | None:
        """The document's value, or None (with a problem) when it cannot be read to its end."""
        try:
            text = self._decode(data)
            loader = yaml.CSafeLoader(text)
            try:
                self._events(loader)
            finally:
                loader.dispose()
        except _Stop as stop:
            self.problems.add(stop.location, stop.path, stop.message, stop.hint)
            return None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = self._at(mark) if mark else Location(self.file)
            context = f" {error.context}" if error.context else ""
            self.problems.add(where, "", f"this is not YAML - {error.problem or 'syntax error'}{context}")
            return None
        return self._root

    # -- text --------------------------------------------------------------------------------------

    def _decode(self, data: bytes) -> str:
        self.budget.size -= len(data)
        if self.budget.size < 0:
            raise _Stop(Location(self.file), "", _TOO_LARGE)
        try:
            text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
        except UnicodeDecodeError as error:
            before = data[: error.start].decode("utf-8", "replace")
            raise _Stop(
                self._after(before), "", f"byte 0x{data[error.start]:02x} is not UTF-8 - {error.reason}"
            ) from None
        strange = Reader.NON_PRINTABLE.search(text)
        if strange:
            raise _Stop(
                self._after(text[: strange.start()]),
                "",
                f"character U+{ord(strange[0]):04X} is not allowed in YAML",
            )
        if len(re.findall(r"^%", text, re.MULTILINE)) > MAX_DIRECTIVES:
            raise _Stop(Location(self.file), "", f"more than {MAX_DIRECTIVES} YAML directives (lines with %)")
        return text

    def _after(self, before: str) -> Location:
        line = before.count("\n")
        return Location(self.file, line + 1, len(before) - (before.rfind("\n") + 1) + 1)

    def _at(self, mark: Any) -> Location:
        if self.how == "--set":
            return Location(self.file)
        return Location(self.file, mark.line + 1, mark.column + 1)

    def _origin(self, mark: Any) -> Origin:
        return Origin(self.how, self._at(mark), self.detail, self.directory)

    # -- structure ---------------------------------------------------------------------------------

    def _events(self, loader: Any) -> None:
        documents = 0
        while loader.check_event():
            event = loader.get_event()
            match event:
                case yaml.DocumentStartEvent():
                    documents += 1
                    if documents > 1:
                        raise _Stop(
                            self._at(event.start_mark),
                            "",
                            "a second document begins here - a blueprint is one",
                        )
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    self._begin(event)
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    self._finish()
                case yaml.ScalarEvent():
                    self._scalar(loader, event)
                case yaml.AliasEvent():
                    self._alias(event)

    def _path(self) -> str:
        if not self._stack:
            return ""
        top = self._stack[-1]
        if isinstance(top.node.value, list):
            return join(top.path, len(top.node.value))
        return join(top.path, top.key) if top.key is not None else top.path

    def _spend(self, values: int, size: int, mark: Any) -> None:
        """Count values and their text into the maps and lists around them, for what aliases cost."""
        self.budget.values -= values
        for opened in self._stack:
            opened.values += values
            opened.size += size
        if self.budget.values < 0:
            raise _Stop(
                self._at(mark), "", f"more than {MAX_VALUES} values - a blueprint has at most that many"
            )
        if self.budget.size < 0:
            raise _Stop(self._at(mark), "", _TOO_LARGE)

    def _begin(self, event: Any) -> None:
        self._spend(1, 0, event.start_mark)
        at, path = self._at(event.start_mark), self._path()
        if len(self._stack) >= MAX_DEPTH:
            raise _Stop(at, "", f"nested too deep - at most {MAX_DEPTH} levels")
        is_map = isinstance(event, yaml.MappingStartEvent)
        key = self._awaits_key()
        if key:
            self.problems.add(at, path, f"a {'map' if is_map else 'list'} as a key - keys are text")
        known = self._check_tag(event, ("map",) if is_map else ("seq",))
        origin = self._origin(event.start_mark)
        node = Node({} if is_map else [], origin if known else replace(origin, broken=True), {})
        self._stack.append(_Open(node, path, event.anchor, skip=key))

    def _finish(self) -> None:
        done = self._stack.pop()
        if done.anchor:
            self._anchors[done.anchor] = (done.node, done.values, done.size)
        if done.skip:  # it stood where a key belongs: leave out the value that follows it, too
            self._stack[-1].key, self._stack[-1].key_at = "", None
        else:
            self._place(done.node)

    def _alias(self, event: Any) -> None:
        at = self._at(event.start_mark)
        if any(opened.anchor == event.anchor for opened in self._stack):
            raise _Stop(
                at,
                self._path(),
                f"*{event.anchor} stands inside of &{event.anchor} - a value cannot hold itself",
            )
        if event.anchor not in self._anchors:
            why = f"*{event.anchor} is not known - no &{event.anchor} comes before it"
            self.problems.add(at, self._path(), why)
            node, values, size = Node(None, replace(self._origin(event.start_mark), broken=True)), 1, 0
        else:
            node, values, size = self._anchors[event.anchor]
        self.budget.size -= size
        self._spend(values, size, event.start_mark)
        if self._awaits_key():
            self._set_key(node, at)
        else:
            self._place(node)

    def _awaits_key(self) -> bool:
        return (
            bool(self._stack) and isinstance(self._stack[-1].node.value, dict) and self._stack[-1].key is None
        )

    def _place(self, node: Node) -> None:
        if not self._stack:
            self._root = node
            return
        top = self._stack[-1]
        if isinstance(top.node.value, list):
            top.node.value.append(node)
            return
        if top.key is not None and top.key_at is not None:
            top.node.value[top.key] = node
            top.node.keys[top.key] = top.key_at  # type: ignore[index] # still ours: nobody has seen it
        top.key = top.key_at = None

    def _set_key(self, node: Node, at: Location) -> None:
        """Take a scalar as the key of what comes next; a key_at of None has that left out."""
        top = self._stack[-1]
        top.key, top.key_at = node.text, None
        if not isinstance(node.value, str):
            hint = f"write {quoted(node.text)}" if node.text else None
            self.problems.add(at, join(top.path, node.text), f"key {node.told()} is not text", hint)
        elif node.value in top.node.value:
            first = top.node.keys[node.value]
            said = "already said" if not first.line else f"already said in line {first.line}"
            self.problems.add(at, join(top.path, node.value), f"duplicate key {quoted(node.value)} - {said}")
        else:
            top.key, top.key_at = node.value, at

    # -- scalars -----------------------------------------------------------------------------------

    def _scalar(self, loader: Any, event: Any) -> None:
        self._spend(1, len(event.value), event.start_mark)
        at = self._at(event.start_mark)
        key = self._awaits_key()
        value, broken = self._value(loader, event, key)
        origin = self._origin(event.start_mark)
        node = Node(value, replace(origin, broken=True) if broken else origin, text=event.value)
        if event.anchor:
            self._anchors[event.anchor] = (node, 1, len(event.value))
        if not key:
            self._place(node)
        elif value == "<<" and event.implicit[0]:
            self.problems.add(
                at, self._path(), "merge keys (<<) are not part of the language", "say extends, or repeat it"
            )
            self._stack[-1].key, self._stack[-1].key_at = "", None
        else:
            self._set_key(node, at)

    def _value(self, loader: Any, event: Any, key: bool) -> tuple[Any, bool]:
        """The scalar's value, and whether a problem was told about it."""
        text: str = event.value
        at = self._at(event.start_mark)
        if event.tag is not None or not event.implicit[0]:
            tag = (event.tag or "").removeprefix(_TAG)
            if event.tag in (None, "!") or tag == "str":
                return text, False
            if not self._check_tag(event, ("null", "bool", "int", "float")):
                return text, True
            if not any(name == tag and pattern.fullmatch(text) for name, pattern in _CORE):
                self.problems.add(
                    at, self._path(), f"{quoted(text)} is not {_WORDS[tag]}, as its tag !!{tag} says"
                )
                return text, True
            return self._convert(tag, text, at)
        core = next((name for name, pattern in _CORE if pattern.fullmatch(text)), "str")
        old = loader.resolve(yaml.ScalarNode, text, (True, False)).removeprefix(_TAG)
        if core == "int" and re.fullmatch(r"[-+]?0[0-9]+", text):
            old = "octal"
        if old == core or (key and core == "str"):
            return self._convert(core, text, at)
        readings = f"{_WORDS.get(old, 'an octal number')} or {_WORDS[core]}"
        if _WORDS.get(old) == _WORDS[core]:
            readings = "one number or another"
        self.problems.add(
            at,
            self._path(),
            f"{text if len(text) < 40 else text[:37] + '...'} is {readings}, depending on who reads it",
            _clear(text, old),
        )
        return text, True

    def _convert(self, tag: str, text: str, at: Location) -> tuple[Any, bool]:
        value = scalar(tag, text)
        if value is None and tag != "null":
            self.problems.add(
                at,
                self._path(),
                f"{text if len(text) < 40 else text[:37] + '...'} is not a number that a blueprint can hold"
                " - it does not fit 64 bits",
            )
            return 0, True
        return value, False

    def _check_tag(self, event: Any, known: tuple[str, ...]) -> bool:
        if event.tag is None or event.tag == "!" or event.tag.removeprefix(_TAG) in known:
            return True
        tag = "!!" + event.tag.removeprefix(_TAG) if event.tag.startswith(_TAG) else event.tag
        self.problems.add(
            self._at(event.start_mark),
            self._path(),
            f"unknown tag {quoted(tag)} - a blueprint is plain data",
            "leave it out",
        )
        return False


def scalar(tag: str, text: str) -> Any:
    """A scalar of the core schema; None for numbers that do not fit 64 bits (and for null)."""
    if tag == "bool":
        return text.lower() == "true"
    if tag == "int":
        if len(text) > 40:
            return None
        number = int(text, 0) if text[:2] in ("0o", "0x") else int(text, 10)
        return number if -MAX_INTEGER <= number < MAX_INTEGER else None
    if tag == "float":
        if len(text) > 400 or "n" in text.lower():  # .inf and .nan have no place in JSON
            return None
        real = float(text)
        return real if abs(real) != float("inf") else None
    return None if tag == "null" else text


def core_type(text: str) -> str:
    """What a plain scalar is: "null", "bool", "int", "float" or "str"."""
    return next((name for name, pattern in _CORE if pattern.fullmatch(text)), "str")


def _clear(text: str, old: str) -> str:
    """How to say what an ambiguous word may mean."""
    choices = [f"{quoted(text)} for text"]
    if old == "bool":
        choices.insert(0, "true" if text.lower() in ("yes", "on", "y", "true") else "false")
    elif old in ("octal", "int") and re.fullmatch(r"[-+]?[0-9_]+", text) and text.strip("+-_0"):
        choices.insert(0, str(int(text.replace("_", ""), 10)))
    return "write " + " or ".join(choices)
