"""The part of Go's templates that people write after --format and -f.

Fields (`{{.State.Status}}`, `{{.}}`), `{{json .X}}`, `{{len .X}}`, `{{upper .X}}`, `{{lower .X}}`,
`{{title .X}}`, `{{join .X ", "}}`, `{{index .X "key" 0}}`, `{{println .X}}`, `{{if .X}}..{{else}}..
{{end}}`, `{{range .X}}..{{end}}`, `{{range $k, $v := .X}}..{{end}}`, pipes are not.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from moby_py.errors import InvalidArgument

_TOKEN = re.compile(r"\{\{(-?)\s*(.*?)\s*(-?)\}\}", re.DOTALL)
_LOOP = re.compile(r"range\s+(?:(\$\w+)(?:\s*,\s*(\$\w+))?\s*:=\s*)?(.+)", re.DOTALL)


@dataclass
class Node:
    kind: str  # text, value, if, range, root
    text: str = ""
    names: tuple[str, ...] = ()
    body: list[Node] = field(default_factory=list)
    other: list[Node] = field(default_factory=list)


class Template:
    """Raises InvalidArgument for what it does not understand, or a field that is not there."""

    def __init__(self, text: str) -> None:
        self._root = _parse(text)

    def render(self, data: Any) -> str:
        return "".join(_render(self._root.body, data, {}))


def _parse(text: str) -> Node:
    root = Node("root")
    stack: list[tuple[Node, list[Node]]] = [(root, root.body)]
    at = 0
    for found in _TOKEN.finditer(text):
        piece = text[at : found.start()]
        if found[1]:
            piece = piece.rstrip()
        stack[-1][1].append(Node("text", piece))
        at = found.end() + (len(text[found.end() :]) - len(text[found.end() :].lstrip()) if found[3] else 0)
        action = found[2]
        word = action.split(None, 1)[0] if action else ""
        if word == "end" and len(stack) > 1:
            stack.pop()
        elif word == "else" and len(stack) > 1:
            node = stack.pop()[0]
            stack.append((node, node.other))
        elif word == "if":
            node = Node("if", action[2:].strip())
            stack[-1][1].append(node)
            stack.append((node, node.body))
        elif word == "range":
            loop = _LOOP.fullmatch(action)
            if loop is None:
                raise InvalidArgument(f"invalid template - cannot read {{{{{action}}}}}")
            names = tuple(name for name in (loop[1], loop[2]) if name)
            node = Node("range", loop[3], names)
            stack[-1][1].append(node)
            stack.append((node, node.body))
        else:
            stack[-1][1].append(Node("value", action))
    if len(stack) > 1:
        raise InvalidArgument("invalid template - an {{end}} is missing")
    root.body.append(Node("text", text[at:]))
    return root


def _render(nodes: list[Node], data: Any, names: Mapping[str, Any]) -> list[str]:
    out: list[str] = []
    for node in nodes:
        if node.kind == "text":
            out.append(node.text)
        elif node.kind == "value":
            out.append(_show(_evaluate(node.text, data, names)))
        elif node.kind == "if":
            out += _render(node.body if _evaluate(node.text, data, names) else node.other, data, names)
        else:
            out += _loop(node, data, names)
    return out


def _loop(node: Node, data: Any, names: Mapping[str, Any]) -> list[str]:
    items = _evaluate(node.text, data, names)
    pairs = sorted(items.items()) if isinstance(items, Mapping) else list(enumerate(items or ()))
    if not pairs:
        return _render(node.other, data, names)
    out: list[str] = []
    for key, value in pairs:
        bound = dict(zip(node.names, (key, value) if len(node.names) == 2 else (value,), strict=False))
        out += _render(node.body, value, {**names, **bound})
    return out


def _evaluate(text: str, data: Any, names: Mapping[str, Any]) -> Any:
    try:
        lexer = shlex.shlex(text, posix=False, punctuation_chars="")
        lexer.whitespace_split = True
        lexer.commenters = ""
        words = list(lexer)
    except ValueError as error:
        raise InvalidArgument(f"invalid template - {error} in {{{{{text}}}}}") from None
    if not words:
        raise InvalidArgument("invalid template - nothing between {{ and }}")
    if words[0] in _FUNCTIONS:
        return _FUNCTIONS[words[0]](*[_operand(word, data, names) for word in words[1:]])
    if len(words) == 1:
        return _operand(words[0], data, names)
    raise InvalidArgument(f"invalid template - unknown function {words[0]!r}")


def _operand(word: str, data: Any, names: Mapping[str, Any]) -> Any:
    if word[:1] in "\"'`":
        return word[1:-1]
    if word.lstrip("-").isdigit():
        return int(word)
    if word.startswith("$"):
        name, _, path = word.partition(".")
        if name not in names:
            raise InvalidArgument(f"invalid template - undefined variable {name!r}")
        return _walk(names[name], path, word)
    if word.startswith("."):
        return _walk(data, word[1:], word)
    raise InvalidArgument(f"invalid template - cannot read {word!r}")


def _walk(value: Any, path: str, word: str) -> Any:
    for key in filter(None, path.split(".")):
        if not isinstance(value, Mapping) or key not in value:
            raise InvalidArgument(f"template: no field {key!r} in {word!r}")
        value = value[key]
    return value


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        try:
            value = value[key]
        except (KeyError, TypeError, IndexError):
            return ""
    return value


def _show(value: Any) -> str:
    """As Go prints it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "<no value>"
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{k}:{_show(v)}" for k, v in sorted(value.items())) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(_show(item) for item in value) + "]"
    return str(value)


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "json": lambda value: json.dumps(value, separators=(",", ":")),
    "len": lambda value: len(value or ()),
    "upper": lambda value: str(value).upper(),
    "lower": lambda value: str(value).lower(),
    "title": lambda value: str(value).title(),
    "join": lambda value, separator="": separator.join(_show(item) for item in value or ()),
    "index": _index,
    "println": lambda value="": _show(value) + "\n",
}
