"""Options against their components' schemas: every problem, located; every default, filled in.

`resolve` is the whole way from a file to a valid blueprint. `validate` is its second half: it never
imports a component, it reads the schema files that stand beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from moby_py.blueprint.loading import load
from moby_py.blueprint.model import Blueprint, Problems, Selection, ordered, suggestion
from moby_py.blueprint.shape import as_data, in_order
from moby_py.errors import BlueprintError, PluginError
from moby_py.kinds import DEFAULTS, KINDS, MANY, REQUIRED
from moby_py.options import Filled, complete
from moby_py.problems import Location, Problem
from moby_py.provenance import Origin, join
from moby_py.schema_errors import check


class Named(Protocol):
    """What validation asks of an entry of the registry."""

    @property
    def kind(self) -> str: ...


class Schemas(Protocol):
    """What validation asks of a registry (`moby_py.registry.Registry` is one)."""

    def entries(self) -> Sequence[Named]: ...

    def names(self, kind: str) -> list[str]: ...

    def schema(self, kind: str, name: str) -> dict[str, Any]: ...


def resolve(
    path: str | Path,
    registry: Schemas,
    *,
    sets: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Blueprint:
    """Load and validate. Raises BlueprintError with all problems of both steps, in file order."""
    loaded = load(path, sets=sets, variables=variables, environ=environ)
    problems = list(loaded.problems)
    blueprint = loaded.blueprint
    if blueprint is not None:
        blueprint, more = validate(blueprint, registry)
        problems = ordered([*problems, *more], blueprint.source.file)
    if problems or blueprint is None:
        raise BlueprintError(problems)
    return blueprint


def validate(blueprint: Blueprint, registry: Schemas) -> tuple[Blueprint, list[Problem]]:
    """The blueprint with every default explicit, and what is wrong with its components.

    What `load` has told a problem about is not told again. With problems, the blueprint returned
    is only as complete as they let it be.
    """
    problems = Problems()
    selections = _with_defaults(blueprint, registry, problems)
    origins: dict[str, Origin] = {}
    checked = []
    for item in selections:
        if item not in blueprint.selections:
            origins.update(_default_origins(item))
        filled = _check(item, blueprint, registry, problems)
        if filled is not None:
            item = replace(item, options=filled.options)  # noqa: PLW2901
            origins.update(filled.origins)
        checked.append(item)
    done = tuple(checked)
    data = {**blueprint.data, "components": as_data(done)}
    source = blueprint.source.extended(origins)
    valid = replace(blueprint, selections=done, data=data, source=source)
    return valid, ordered(problems, source.file)


def _with_defaults(blueprint: Blueprint, registry: Schemas, problems: Problems) -> list[Selection]:
    """The selections, the house's defaults added, kinds checked for what is missing or too many."""
    said: dict[str, list[Selection]] = {}
    for item in blueprint.selections:
        said.setdefault(item.kind, []).append(item)
    written = blueprint.source.origins
    at = blueprint.source.key_location("components")
    for kind in REQUIRED:
        if kind not in said and join("components", kind) not in written and "components" in written:
            names = registry.names(kind)
            hint = f"{kind}: {' or '.join(names)}" if names else None
            problems.add(at, join("components", kind), f"missing - a platform has one {kind}", hint)
    for kind, name in DEFAULTS.items():
        if kind not in said and join("components", kind) not in written:
            said[kind] = [Selection(kind, name, name, {}, join("components", kind))]
    for kind, items in said.items():
        if kind in KINDS and kind not in MANY and len(items) > 1:
            second = items[1]
            problems.add(
                blueprint.source.location(second.path), second.path, f"a second {kind} - a platform has one"
            )
    return [item for kind in in_order(said) for item in said[kind]]


def _default_origins(item: Selection) -> dict[str, Origin]:
    origin = Origin("default", Location(""), "moby-py")
    base = join(item.path, 0)
    return dict.fromkeys((item.path, base, join(base, "use"), join(base, "as")), origin)


def _check(item: Selection, blueprint: Blueprint, registry: Schemas, problems: Problems) -> Filled | None:
    """One selection's options: checked and completed, or None when its schema is out of reach."""
    source = blueprint.source
    names = registry.names(item.kind)
    if not names:
        kinds = list(dict.fromkeys([*KINDS, *(entry.kind for entry in registry.entries())]))
        hint = suggestion(item.kind, [k for k in kinds if k != item.kind], f"known are {', '.join(kinds)}")
        problems.add(
            source.key_location(f"components.{item.kind}"),
            f"components.{item.kind}",
            f'unknown kind "{item.kind}" - no installed package brings a component of it',
            hint,
        )
        return None
    use = join(item.path, "use")
    if item.use not in names:
        shown = source.shown(use) or item.use
        known = f"known are {', '.join(names)}" if len(names) > 1 else f"there is only {names[0]}"
        hint = suggestion(item.use, names, known)
        problems.add(source.location(use), use, f'there is no {item.kind} named "{shown}"', hint)
        return None
    try:
        schema = registry.schema(item.kind, item.use)
    except PluginError as error:
        problems.add(source.location(use), use, error.message, error.hint)
        return None
    filled = complete(item, schema, source)
    check(item, filled, schema, source, problems)
    return filled
