"""Node tree -> Blueprint: the keys of the envelope, names, images, and the selections in long form."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from moby_py.blueprint.model import Blueprint, Node, Problems, Selection, plain, quoted, suggestion
from moby_py.errors import InvalidArgument
from moby_py.kinds import KINDS
from moby_py.problems import Location
from moby_py.provenance import Origin, SourceMap, join

ENVELOPE = ("blueprint", "name", "extends", "vars", "components", "images")
SELECTION = ("use", "as", "with")
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
KIND = re.compile(r"[a-z][a-z0-9_]{0,62}")
_NAME_RULE = "lower-case letters, digits, '-', '_' and '.', at most 63, a letter or digit first"


def shape(root: Node, file: Path, problems: Problems) -> Blueprint:
    """The blueprint, as far as it can be understood; what cannot is among the problems."""
    return _Shape(problems).blueprint(root, file)


class _Shape:
    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.origins: dict[str, Origin] = {}
        self.keys: dict[str, Location] = {}

    def blueprint(self, root: Node, file: Path) -> Blueprint:
        self._unknown(root, "", ENVELOPE)
        name = self._name(root)
        selections = self._components(root)
        images = self._images(root)
        said = root.value.get("vars")
        declared = said if said is not None and isinstance(said.value, dict) else None
        data: dict[str, Any] = {
            "blueprint": 1,
            "name": name,
            "components": as_data(selections),
            "images": list(images),
        }
        self.origins[""] = root.origin
        for key in ("blueprint", "name"):
            self._record(key, root, key)
        if declared is not None:
            self._record("vars", root, "vars")
        return Blueprint(
            name=name,
            selections=selections,
            images=images,
            data=data,
            source=SourceMap(root.location.file, self.origins, self.keys),
            file=file,
            variables=plain(declared) if declared is not None else {},
        )

    def _record(self, path: str, parent: Node, key: str, *, deep: bool = True) -> None:
        """Remember where the value `key` of `parent`, to be known as `path`, comes from."""
        node = parent.value.get(key)
        if node is not None:
            if key in parent.keys:
                self.keys[path] = parent.keys[key]
            self._record_value(path, node, deep=deep)

    def _record_value(self, path: str, node: Node, *, deep: bool = True) -> None:
        self.origins[path] = node.origin
        if deep and isinstance(node.value, dict):
            for key in node.value:
                self._record(join(path, key), node, key)
        elif deep and isinstance(node.value, list):
            for index, child in enumerate(node.value):
                self._record_value(join(path, index), child)

    def _unknown(self, node: Node, path: str, known: tuple[str, ...], otherwise: str | None = None) -> None:
        for key in node.value:
            if key not in known and not self.problems.full:
                hint = suggestion(key, known, otherwise or f"known are {', '.join(known)}")
                self.problems.add(node.keys[key], join(path, key), f"unknown key {quoted(key)}", hint)

    # -- name, images ------------------------------------------------------------------------------

    def _name(self, root: Node) -> str:
        said = root.value.get("name")
        if said is None or said.value is None:
            where = root.keys.get("name", root.location)
            self.problems.add(where, "name", "missing - every platform has a name", "name: shop")
            return ""
        return self._word(said, "name", "a name")

    def _word(self, said: Node, path: str, what: str) -> str:
        """A name: text of the form that can be part of a file name. "" when it is none."""
        if said.origin.broken:
            return ""
        if not isinstance(said.value, str):
            hint = f"write {quoted(said.text)}" if said.text else None
            self.problems.about(said, path, f"{said.told()} is not text", hint)
            return ""
        if not NAME.fullmatch(said.value):
            self.problems.about(said, path, f"{said.told()} is not {what} - {_NAME_RULE}")
            return ""
        return said.value

    def _images(self, root: Node) -> tuple[str, ...]:
        from moby_py.reference import parse

        said = root.value.get("images")
        if said is None or said.value is None:
            return ()
        if not isinstance(said.value, list):
            hint = (
                f"images: [{said.value}]" if isinstance(said.value, str) and not said.origin.shown else None
            )
            self.problems.about(said, "images", f"{said.told()} is not a list of images", hint)
            return ()
        self._record("images", root, "images")
        images = []
        for index, item in enumerate(said.value):
            if item.origin.broken:
                continue
            path = join("images", index)
            if not isinstance(item.value, str):
                self.problems.about(item, path, f"{item.told()} is not the name of an image")
                continue
            try:
                parse(item.value)
                images.append(item.value)
            except InvalidArgument as error:
                why = "it is not the name of an image" if item.origin.shown is not None else error.message
                self.problems.about(item, path, why, error.hint)
        return tuple(images)

    # -- components --------------------------------------------------------------------------------

    def _components(self, root: Node) -> tuple[Selection, ...]:
        said = root.value.get("components")
        if said is None or said.value is None:
            where = root.keys.get("components", root.location)
            self.problems.add(
                where,
                "components",
                "missing - a platform is made of components",
                "components: {runtime: ...}",
            )
            return ()
        if not isinstance(said.value, dict):
            self.problems.about(
                said,
                "components",
                f"{said.told()} is not a map of kinds",
                "components: {runtime: ...}",
            )
            return ()
        self._record("components", root, "components", deep=False)
        found: list[Selection] = []
        for kind in in_order(said.value):
            path = join("components", kind)
            if not KIND.fullmatch(kind):
                self.problems.add(
                    said.keys[kind], path, f"{quoted(kind)} is no kind", suggestion(kind, list(KINDS))
                )
            elif said.value[kind].value is not None:
                self.keys[path] = said.keys.get(kind, said.value[kind].location)
                found += self._kind(kind, said.value[kind], path)
        return tuple(found)

    def _kind(self, kind: str, said: Node, path: str) -> list[Selection]:
        self.origins[path] = said.origin
        single = not isinstance(said.value, list)
        items: list[Node] = [said] if single else said.value
        if not items:
            self.problems.about(said, path, f"an empty list - name a {kind}, or leave the key out")
        taken: dict[str, Location] = {}
        found: list[Selection] = []
        for index, item in enumerate(items):
            if self.problems.full:
                break
            place = path if single else join(path, index)
            selection = self._selection(kind, item, place, join(path, index))
            if selection is None:
                continue
            said = self._id_node(item)
            if selection.id in taken:
                where = f" (the other is at {taken[selection.id]})" if taken[selection.id].line else ""
                use = quoted(item.value["use"].origin.shown or selection.use)
                self.problems.about(
                    said,
                    place,
                    f"another {kind} has the name {said.told()} already{where}",
                    f"give it a name of its own: {{use: {use}, as: NAME}}",
                )
                continue
            taken[selection.id] = said.location
            found.append(selection)
        return found

    @staticmethod
    def _id_node(item: Node) -> Node:
        """What gives a component its name."""
        label: Node | None = item.value.get("as")
        use: Node = item.value["use"]
        return use if label is None or label.value is None else label

    def _selection(self, kind: str, item: Node, path: str, place: str) -> Selection | None:
        """One component; `path` is how the user calls it, `place` its path in a list."""
        if item.origin.broken:
            return None
        if not isinstance(item.value, dict):
            self.problems.about(item, path, f"{item.told()} is no component", f"{kind}: NAME")
            return None
        self._unknown(item, path, SELECTION, "options stand under with: {...}")
        use = item.value.get("use")
        if use is None or use.value is None:
            self.problems.about(item, path, f"which {kind}? - use is missing", "use: NAME")
            return None
        name = self._word(use, join(path, "use"), "the name of a component")
        label = item.value.get("as")
        ident = name
        if label is not None and label.value is not None:
            ident = self._word(label, join(path, "as"), "a name")
        options = item.value.get("with")
        if options is not None and options.value is not None and not isinstance(options.value, dict):
            self.problems.about(options, join(path, "with"), f"{options.told()} is not a map of options")
            options = None
        if not name or not ident:
            return None
        self.origins[place] = item.origin
        self._record(join(place, "use"), item, "use")
        self.origins[join(place, "as")] = use.origin
        if label is not None and label.value is not None:
            self._record(join(place, "as"), item, "as")
        values = {}
        if options is not None and options.value is not None:
            self._record(join(place, "with"), item, "with")
            values = plain(options)
        return Selection(kind, name, ident, values, path)


def in_order(kinds: Any) -> list[str]:
    """The house's kinds first, in their order; then the others by name."""
    rank = {kind: index for index, kind in enumerate(KINDS)}
    return sorted(kinds, key=lambda kind: (rank.get(kind, len(rank)), kind))


def as_data(selections: tuple[Selection, ...]) -> dict[str, list[dict[str, Any]]]:
    """The selections as OUT/platform.yaml has them."""
    data: dict[str, list[dict[str, Any]]] = {}
    for item in selections:
        entry = {"use": item.use, "as": item.id, "with": dict(item.options)}
        data.setdefault(item.kind, []).append(entry)
    return data
