"""`--set PATH=VALUE`: one value of the tree, said on the command line.

The value is YAML (`4`, `true`, `[a, b]`, `{use: runsc}`); what is no YAML is text. `null` takes the
value away, so that the default holds again. A path may go where nothing is yet.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from moby_py.blueprint.document import Budget, Parser
from moby_py.blueprint.files import long_forms
from moby_py.blueprint.model import Node, Problems, quoted
from moby_py.problems import Location
from moby_py.provenance import Origin, Part, join, split

_SET = re.compile(r'((?:[^="\[]|\["(?:[^"\\]|\\.)*"\]|\[)*)=(.*)', re.DOTALL)
_HERE = Location("--set")


class _Misplaced(Exception):
    """Why a value cannot go there."""


def apply(root: Node, sets: Sequence[str], problems: Problems, budget: Budget) -> Node:
    """The tree with each of `sets` put in, in order."""
    for text in sets:
        parsed = _parse(text, problems, budget)
        if parsed is None:
            continue
        parts, value = parsed
        try:
            root = long_forms(_put(root, parts, value, ""))
        except _Misplaced as error:
            problems.add(_HERE, join("", *parts), str(error))
    return root


def _parse(text: str, problems: Problems, budget: Budget) -> tuple[list[Part], Node] | None:
    match = _SET.fullmatch(text)
    try:
        if match is None:
            raise ValueError(text)
        parts = split(match[1].strip())
    except ValueError:
        problems.add(_HERE, "", f"{quoted(text)} is not PATH=VALUE", "--set components.runtime=crun")
        return None
    path = join("", *parts)
    if parts[0] in ("extends", "blueprint"):
        problems.add(_HERE, path, f"{parts[0]} cannot be set - it says how the file is read")
        return None
    return parts, _value(match[2], path, problems, budget)


def _value(text: str, path: str, problems: Problems, budget: Budget) -> Node:
    cwd = str(Path.cwd())
    origin = Origin("--set", _HERE, directory=cwd)
    if text.startswith("#"):  # a comment in YAML, and never meant as one here
        return Node(text, origin, text=text)
    try:
        data = text.encode()
    except UnicodeEncodeError:
        problems.add(_HERE, path, "the value is not UTF-8")
        return Node(None, replace(origin, broken=True))
    found = Problems()
    node = Parser(_HERE.file, found, budget, how="--set", directory=cwd).parse(data)
    if node is None and not found:
        return Node(None, origin)
    if node is None and text[:1] not in tuple("[{\"'&*!|>-?") and not _refused(found):
        return Node(text, origin, text=text)
    for problem in found:
        rest = problem.path
        inner = path + (rest if not rest or rest.startswith("[") else f".{rest}")
        problems.add(_HERE, inner, problem.message, problem.hint)
    return node if node is not None else Node(None, replace(origin, broken=True))


def _refused(found: Problems) -> bool:
    return any(not problem.message.startswith("this is not YAML") for problem in found)


def _put(node: Node | None, parts: Sequence[Part], value: Node, path: str) -> Node:
    """A copy of `node` with `value` at `parts`. Raises _Misplaced."""
    if not parts:
        return replace(value, origin=replace(value.origin, over=node.origin)) if node else value
    part, rest = parts[0], parts[1:]
    here = join(path, part)
    is_kind = path.startswith("components.") and len(split(path)) == 2
    if isinstance(part, int):
        return _put_item(node, part, rest, value, path, is_kind)
    if node is None or node.value is None:
        node = Node({}, value.origin)
    if isinstance(node.value, list):
        if is_kind and len(node.value) == 1:
            return replace(node, value=[_put(node.value[0], parts, value, join(path, 0))])
        raise _Misplaced(f"{path} is a list - say which of its items, as in {path}[0].{part}")
    if not isinstance(node.value, dict):
        raise _Misplaced(f"{path} is {node.told()} - it has no {part}")
    children, keys = dict(node.value), dict(node.keys)
    if not rest and value.value is None and not value.origin.broken:
        children.pop(part, None)
    else:
        children[part] = _put(children.get(part), rest, value, here)
        keys.setdefault(part, _HERE)
    return replace(node, value=children, keys=keys)


def _put_item(
    node: Node | None, index: int, rest: Sequence[Part], value: Node, path: str, is_kind: bool
) -> Node:
    if node is None or node.value is None:
        node = Node([], value.origin)
    if is_kind and isinstance(node.value, dict):  # a kind's single component is its first
        if index == 0 and (rest or value.value is not None):
            return _put(node, rest, value, path)
        node = Node([node], node.origin)
    if not isinstance(node.value, list):
        raise _Misplaced(f"{path} is {node.told()} - it has no items")
    items = list(node.value)
    if index > len(items):
        count = f"{len(items)} item{'s' if len(items) != 1 else ''}"
        raise _Misplaced(f"{path} has {count} - the next one is {path}[{len(items)}]")
    if not rest and value.value is None and not value.origin.broken:
        del items[index : index + 1]
    elif index == len(items):
        items.append(_put(None, rest, value, join(path, index)))
    else:
        items[index] = _put(items[index], rest, value, join(path, index))
    return replace(node, value=items)
