"""`load`: the steps from a file to a Blueprint, in order."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from moby_py.blueprint import overrides
from moby_py.blueprint.files import Files, name_of
from moby_py.blueprint.model import Loaded, Node, Problems, ordered
from moby_py.blueprint.shape import shape
from moby_py.variables import Variables


def load(
    path: str | Path,
    *,
    sets: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Loaded:
    """Read a blueprint, everything but its components' options checked.

    path:       the file; "-" is standard input
    sets:       `--set` texts, PATH=VALUE, in order
    variables:  `--var` values by name
    environ:    for `${env:NAME}`; default: this process's environment

    Never raises for what a blueprint holds or a file system says: every mistake is one of the
    problems. Bounded: 1 MiB in all files together, 20,000 values, 32 levels, 16 files deep.
    """
    problems = Problems()
    first = name_of(os.fspath(path))
    files = Files(problems)
    root = files.blueprint(os.fspath(path))
    if root is None:
        return Loaded(None, ordered(problems, first))
    root = overrides.apply(root, sets, problems, files.budget)
    environment = os.environ if environ is None else environ
    root = Variables(_declared(root, problems), variables or {}, environment, problems).tree(root)
    blueprint = shape(root, Path(path), problems)
    return Loaded(blueprint, ordered(problems, first))


def _declared(root: Node, problems: Problems) -> Mapping[str, Node]:
    said = root.value.get("vars")
    if said is None or said.value is None:
        return {}
    if not isinstance(said.value, dict):
        problems.about(said, "vars", f"{said.told()} - vars is a map", "vars: {name: value}")
        return {}
    declared: Mapping[str, Node] = said.value
    return declared
