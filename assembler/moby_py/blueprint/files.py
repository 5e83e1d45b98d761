"""The blueprint's file and the files it extends, merged into one tree.

Maps merge deep, lists and scalars replace, and `null` takes away what was inherited. Short forms are
made long before merging, so that `runtime: runc` below and `runtime: {with: ...}` above meet; a
component that is exchanged for another one does not inherit its options.
"""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from moby_py.blueprint.document import MAX_BYTES, Budget, Parser
from moby_py.blueprint.model import Node, Problems, suggestion
from moby_py.problems import Location
from moby_py.provenance import join

VERSION = 1
MAX_CHAIN = 16
MAX_FILES = 64


class _Unreadable(Exception):
    """Why a file cannot be read."""


@dataclass(slots=True)
class Files:
    """Reads files, each once, and merges them."""

    problems: Problems
    budget: Budget = field(default_factory=Budget)
    _trees: dict[str, Node | None] = field(default_factory=dict)

    def blueprint(self, file: str) -> Node | None:
        """The merged tree of a blueprint; None (with a problem) where nothing can be read."""
        try:
            data = _stdin() if file == "-" else _read(file)
        except _Unreadable as error:
            missing = file != "-" and not os.path.lexists(file)
            way = _look_alike(file) or (f"moby-py init {file}" if missing else None)
            self.problems.add(Location(name_of(file)), "", str(error), way)
            return None
        real = "-" if file == "-" else os.path.realpath(file)
        return self._tree(data, name_of(file), (real,), (name_of(file),))

    def _tree(self, data: bytes, file: str, chain: tuple[str, ...], names: tuple[str, ...]) -> Node | None:
        extended = len(names) > 1
        parser = Parser(
            file,
            self.problems,
            self.budget,
            how="extends" if extended else "file",
            detail=f"extended by {names[-2]}" if extended else "",
            directory=str(Path.cwd()) if file == STDIN else str(Path(file).absolute().parent),
        )
        before = len(self.problems)
        root = parser.parse(data)
        if root is None:
            if len(self.problems) == before:
                self.problems.add(Location(file), "", "the file is empty", f"blueprint: {VERSION}")
            return None
        if not isinstance(root.value, dict):
            self.problems.about(root, "", f"{root.told()} - a blueprint is a map", f"blueprint: {VERSION}")
            return None
        self._check_version(root)
        root = long_forms(root)
        base = self._bases(root, file, chain, names)
        return merge(base, root) if base else root

    def _check_version(self, root: Node) -> None:
        said = root.value.get("blueprint")
        if said is None:
            self.problems.about(
                root,
                "blueprint",
                "missing - it says in which version of the language the file is written",
                f"blueprint: {VERSION}",
            )
        elif said.value != VERSION or isinstance(said.value, bool):
            self.problems.about(
                said,
                "blueprint",
                f"version {said.told()} is not known - this moby-py reads version {VERSION}",
                f"blueprint: {VERSION}",
            )

    def _bases(self, root: Node, file: str, chain: tuple[str, ...], names: tuple[str, ...]) -> Node | None:
        said = root.value.get("extends")
        if said is None or said.value is None:
            return None
        single = not isinstance(said.value, list)
        merged: Node | None = None
        for index, item in enumerate([said] if single else said.value):
            path = "extends" if single else join("extends", index)
            if not isinstance(item.value, str) or not item.value:
                self.problems.about(item, path, f"{item.told()} is no file name")
            elif "${" in item.value:
                self.problems.about(
                    item,
                    path,
                    "variables are not known yet where files are read",
                    "write the path out",
                )
            else:
                tree = self._extended(item, path, file, chain, names)
                if tree is not None:
                    merged = merge(merged, tree) if merged else tree
        return merged

    def _extended(
        self, item: Node, path: str, file: str, chain: tuple[str, ...], names: tuple[str, ...]
    ) -> Node | None:
        target = os.path.normpath(Path(file).parent / item.value)
        real = os.path.realpath(Path(item.origin.directory) / item.value)
        if real in chain:
            ring = " -> ".join((*names[chain.index(real) :], names[chain.index(real)]))
            self.problems.about(item, path, f"files extend each other in a ring - {ring}")
            return None
        if real in self._trees:
            return self._trees[real]
        if len(chain) >= MAX_CHAIN or len(self._trees) >= MAX_FILES:
            limit = f"{MAX_CHAIN} deep" if len(chain) >= MAX_CHAIN else f"{MAX_FILES} files"
            self.problems.about(
                item,
                path,
                f"extends go too far - at most {limit}, and this is {' -> '.join((*names, target))}"
                if len(chain) >= MAX_CHAIN
                else f"extends go too far - at most {limit}",
            )
            return None
        self._trees[real] = None
        try:
            data = _read(real, regular=True)
        except _Unreadable as error:
            self.problems.about(item, path, f"{target}: {error}", _look_alike(target))
            return None
        tree = self._tree(data, target, (*chain, real), (*names, target))
        if tree is not None:
            keep = {key: value for key, value in tree.value.items() if key != "extends"}
            tree = replace(tree, value=keep)
        self._trees[real] = tree
        return tree


STDIN = "<stdin>"


def name_of(file: str) -> str:
    """The file's name in messages."""
    return STDIN if file == "-" else file


def _read(file: str, *, regular: bool = False) -> bytes:
    """At most one byte more than a blueprint may have. `regular` refuses pipes and devices, which
    could hang the reader. Raises _Unreadable."""
    flags = os.O_RDONLY | os.O_CLOEXEC | (os.O_NONBLOCK if regular else 0)
    try:
        with os.fdopen(os.open(file, flags), "rb") as stream:
            if regular and not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise _Unreadable("not a regular file")
            return stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _Unreadable("no such file") from None
    except (OSError, ValueError) as error:
        raise _Unreadable((getattr(error, "strerror", None) or str(error)).lower()) from None


def _stdin() -> bytes:
    return sys.stdin.buffer.read(MAX_BYTES + 1)


def _look_alike(file: str) -> str | None:
    path = Path(file)
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.suffix in (".yaml", ".yml")][:1000]
    except (OSError, ValueError):
        return None
    return suggestion(path.name, names)


def long_forms(root: Node) -> Node:
    """The tree with `runtime: runc` said as `runtime: {use: runc}`, in lists too."""
    components = root.value.get("components")
    if components is None or not isinstance(components.value, dict):
        return root
    kinds = {}
    for kind, said in components.value.items():
        if isinstance(said.value, list):
            kinds[kind] = replace(said, value=[_long(item) for item in said.value])
        else:
            kinds[kind] = _long(said)
    return replace(root, value={**root.value, "components": replace(components, value=kinds)})


def _long(said: Node) -> Node:
    if not isinstance(said.value, str):
        return said
    return Node({"use": said}, said.origin, {"use": said.location})


def merge(base: Node, over: Node, path: tuple[str, ...] = ()) -> Node:
    """`over` on top of `base`."""
    if not isinstance(base.value, dict) or not isinstance(over.value, dict) or _exchanged(base, over, path):
        return replace(over, origin=replace(over.origin, over=base.origin))
    merged = dict(base.value)
    for key, child in over.value.items():
        if key not in merged:
            merged[key] = child
        elif child.value is None:
            del merged[key]
        else:
            merged[key] = merge(merged[key], child, (*path, key))
    return Node(merged, replace(over.origin, over=base.origin), {**base.keys, **over.keys})


def _exchanged(base: Node, over: Node, path: tuple[str, ...]) -> bool:
    """True for a component that takes the place of another one."""
    if len(path) != 2 or path[0] != "components":
        return False
    old, new = base.value.get("use"), over.value.get("use")
    return old is not None and new is not None and old.value != new.value
