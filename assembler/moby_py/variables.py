"""`${name}`, `${env:NAME}` and `${env:NAME:-default}` in the texts of a blueprint; `$${` is a `${`.

A text that is one variable and nothing else takes the variable's value as it is, number or text, and
a relative path in it starts where the variable was said. What environment variables hold goes into
the value only: every origin made here knows the text to show in its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from moby_py.blueprint.model import Node, Problems, quoted, suggestion
from moby_py.problems import Location
from moby_py.provenance import How, Origin, join

_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}\n]*)(\})?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_ENV = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_LEFT_ALONE = ("blueprint", "extends")
MAX_TEXT = 1 << 16
MAX_TOTAL = 1 << 22
MAX_DEPTH = 32
_STEPS: tuple[How, ...] = ("env", "--var")


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a text: what it is, what to show for it, and which variable it came from."""

    text: str
    shown: str | None = None
    how: How | None = None
    note: str = ""
    node: Node | None = None


class _Unknown(Exception):
    """A text cannot be completed; its problem is told."""


@dataclass(slots=True)
class Variables:
    """Replaces variables. `given` are `--var`s; they go before the file's `vars` and are literal."""

    declared: Mapping[str, Node]
    given: Mapping[str, str]
    environ: Mapping[str, str]
    problems: Problems
    _known: dict[str, Node | None] = field(default_factory=dict)
    _asked: set[str] = field(default_factory=set)
    _open: list[str] = field(default_factory=list)
    _left: int = MAX_TOTAL

    def tree(self, root: Node) -> Node:
        """The whole blueprint with its variables replaced, and every misuse told."""
        children = {
            key: child
            if key in _LEFT_ALONE
            else self._vars(child)
            if key == "vars"
            else self.expand(child, join("", key))
            for key, child in root.value.items()
        }
        for name in self.given:
            if name not in self._asked and name not in self.declared:
                self.problems.add(
                    Location("--var"),
                    join("vars", name),
                    f"the blueprint has no variable {quoted(name)}",
                    suggestion(name, list(self.declared)),
                )
        return replace(root, value=children)

    def _vars(self, said: Node) -> Node:
        if not isinstance(said.value, dict):
            return said
        values = {}
        for name, child in said.value.items():
            if child.value is None and name not in self.given:
                continue  # a variable that must be given; told where it is used
            found = self._variable(name)
            values[name] = found or replace(child, origin=replace(child.origin, broken=True))
        return replace(said, value=values)

    def expand(self, node: Node, path: str) -> Node:
        """A copy of `node` with every variable in it replaced."""
        if isinstance(node.value, dict):
            return replace(node, value={k: self.expand(c, join(path, k)) for k, c in node.value.items()})
        if isinstance(node.value, list):
            return replace(node, value=[self.expand(c, join(path, i)) for i, c in enumerate(node.value)])
        if not isinstance(node.value, str) or "${" not in node.value or node.origin.broken:
            return node
        try:
            return self._text(node, path)
        except _Unknown:
            return replace(node, origin=replace(node.origin, broken=True))

    def _text(self, node: Node, path: str) -> Node:
        pieces: list[_Piece] = []
        failed = False
        for step in self._steps(node, path):
            if step is None:
                failed = True
            else:
                pieces.append(step)
        if failed:
            raise _Unknown
        used = [piece for piece in pieces if piece.how or piece.note]
        origin = node.origin
        if used:
            how = next((how for how in _STEPS if any(piece.how == how for piece in used)), origin.how)
            notes = list(dict.fromkeys(filter(None, [origin.detail, *(piece.note for piece in used)])))
            origin = replace(origin, how=how, detail=", ".join(notes))
        if len(pieces) == 1 and pieces[0].node is not None:
            whole = pieces[0].node
            return Node(
                whole.value,
                replace(
                    origin, directory=whole.origin.directory, shown=whole.origin.shown, text=pieces[0].text
                ),
                text=whole.text,
            )
        value = "".join(piece.text for piece in pieces)
        self._spend(len(value), node, path)
        if any(piece.shown is not None for piece in pieces):
            shown = "".join(p.text if p.shown is None else p.shown for p in pieces)
            origin = replace(origin, shown=shown)
        return Node(value, replace(origin, text=value if used else None), text=value)

    def _spend(self, size: int, node: Node, path: str) -> None:
        self._left -= size
        if size > MAX_TEXT or self._left < 0:
            if self._left > -MAX_TOTAL:
                self.problems.add(node.location, path, "too long with its variables replaced")
            if self._left < 0:
                self._left = -2 * MAX_TOTAL  # told once
            raise _Unknown

    def _steps(self, node: Node, path: str) -> Iterator[_Piece | None]:
        """The pieces of a text; None for one that has a problem."""
        text: str = node.value
        at = 0
        for match in _REFERENCE.finditer(text):
            if match.start() > at:
                yield _Piece(text[at : match.start()])
            at = match.end()
            if match[0] == "$${":
                yield _Piece("${")
            elif match[2] is None:
                self.problems.add(
                    node.location,
                    path,
                    f"{quoted(match[0])} is not closed",
                    "write ${NAME}, or $${ for the text ${",
                )
                yield None
            else:
                yield self._reference(match[1], node, path)
        if at < len(text):
            yield _Piece(text[at:])

    def _reference(self, inner: str, node: Node, path: str) -> _Piece | None:
        if self.problems.full:
            return None
        env = _ENV.fullmatch(inner)
        if env:
            return self._env(env[1], env[2], node, path)
        if not _NAME.fullmatch(inner):
            self.problems.add(
                node.location,
                path,
                f"{quoted('${' + inner + '}')} names no variable",
                "write ${NAME}, ${env:NAME}, ${env:NAME:-default}, or $${ for the text ${",
            )
            return None
        self._asked.add(inner)
        if inner in self._open:
            ring = [*self._open[self._open.index(inner) :], inner]
            self.problems.add(
                node.location, path, f"variables need each other in a ring - {' -> '.join(ring)}"
            )
            return None
        if len(self._open) >= MAX_DEPTH:
            self.problems.add(
                node.location, path, f"variables need each other too deep - at most {MAX_DEPTH} levels"
            )
            return None
        if inner not in self.given and inner not in self.declared:
            here = f"write ${{env:{inner}}}" if inner in self.environ else f"--var {inner}=..."
            hint = suggestion(inner, [*self.declared, *self.given], here)
            self.problems.add(node.location, path, f"variable {quoted(inner)} is not known", hint)
            return None
        found = self._variable(inner)
        if found is None:
            return None
        if found.value is None:
            self.problems.add(
                node.location, path, f"variable {quoted(inner)} has no value", f"--var {inner}=..."
            )
            return None
        origin = found.origin
        note = f"with --var {inner}" if inner in self.given else f"with {inner} from {origin.location}"
        if origin.how == "env":
            note = ", ".join(filter(None, [note, origin.detail]))
        how = origin.how if origin.how in _STEPS else None
        return _Piece(found.text, origin.shown, how, note, found)

    def _env(self, name: str, default: str | None, node: Node, path: str) -> _Piece | None:
        value = self.environ.get(name)
        if value or (value is not None and default is None):
            try:
                value.encode()
            except UnicodeEncodeError:
                self.problems.add(node.location, path, f"environment variable {name} is not UTF-8")
                return None
            shown = f"${{env:{name}}}"
            origin = Origin("env", node.location, "", str(Path.cwd()), shown=shown)
            return _Piece(
                value, shown, "env", f"with {name} of the environment", Node(value, origin, text=value)
            )
        if default is not None:
            return _Piece(default, note=f"{name} is not set in the environment")
        self.problems.add(
            node.location,
            path,
            f"environment variable {name} is not set",
            f"set it, or write ${{env:{name}:-default}}",
        )
        return None

    def _variable(self, name: str) -> Node | None:
        """A variable's value, its own variables replaced; None when it has a problem."""
        if name not in self._known:
            self._known[name] = self._evaluate(name)
        return self._known[name]

    def _evaluate(self, name: str) -> Node | None:
        if name in self.given:
            value = self.given[name]
            return Node(
                value, Origin("--var", Location(f"--var {name}"), directory=str(Path.cwd())), text=value
            )
        node = self.declared[name]
        path = join("vars", name)
        if not _NAME.fullmatch(name):
            self.problems.add(
                node.location, path, f"{quoted(name)} is no name for a variable", "a letter first"
            )
            return None
        if isinstance(node.value, dict | list):
            self.problems.add(
                node.location, path, f"{node.told()} - a variable is text, a number, true or false"
            )
            return None
        self._open.append(name)
        try:
            found = self.expand(node, path)
        finally:
            self._open.pop()
        return None if found.origin.broken else found
