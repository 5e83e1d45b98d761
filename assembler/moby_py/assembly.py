"""From a blueprint to a platform directory: the steps in order. Read this first.

    blueprint.yaml -> Blueprint -> (validation) -> Wiring -> (host check) -> files -> OUT

Each step takes the value of the one before and returns a new one; nothing is written while a Problem
exists or the host lacks something, and OUT appears in one rename, complete. The same blueprint on
the same host gives the same bytes: no timestamp, no random number, nothing of OUT's own name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from moby_py.blueprint import Blueprint, load
from moby_py.errors import BlueprintError
from moby_py.hooks import HookDispatcher
from moby_py.host import HostReport, check_host
from moby_py.registry import Registry
from moby_py.validation import validate
from moby_py.wiring import Wiring, wire


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for. `sets` as "PATH=VALUE", `plugins` paths of Python files."""

    file: str | Path
    sets: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    plugins: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A valid, wired blueprint: what `build`, `check` and `graph` share."""

    blueprint: Blueprint
    registry: Registry
    wiring: Wiring


@dataclass(frozen=True, slots=True)
class Result:
    """What a build made: `out` as given, `warnings` of hooks and of the host."""

    out: Path
    plan: Plan
    host: HostReport
    warnings: tuple[str, ...]


def plan(request: Request) -> Plan:
    """Read, validate and wire. Raises BlueprintError with every problem found."""
    loaded = load(request.file, sets=request.sets, variables=request.variables, environ=os.environ)
    problems = list(loaded.problems)
    registry = Registry(plugin_files=request.plugins)
    if loaded.blueprint is None:
        raise BlueprintError(problems)
    blueprint, wrong = validate(loaded.blueprint, registry)
    problems += wrong
    if problems:
        raise BlueprintError(sorted(problems))
    wiring, unwired = wire(blueprint, registry)
    if wiring is None or unwired:
        raise BlueprintError(unwired)
    return Plan(blueprint, registry, wiring)


def build(
    request: Request, out: str | Path, *, locked: bool = False, say: Callable[[str], None] | None = None
) -> Result:
    """Write the platform: a directory, or a tar where `out` ends in ".tar".

    Raises BlueprintError, HostError, PluginError, and MobyError where `out` is something else than
    an older platform or, with `locked`, where a part differs from OUT/platform.lock. A failed build
    leaves whatever was at `out` untouched.
    """
    from moby_py import lock, outputs
    from moby_py.rendering import render

    out = Path(out)
    output = outputs.choose(out)
    output.check(out)
    made = plan(request)
    warnings: list[str] = []
    hooks = HookDispatcher(made.registry, report=warnings.append)
    host = check_host(made.wiring)
    host.require()
    parts = lock.make(made.wiring, made.registry, host)
    if locked:
        lock.compare(lock.loads(output.read(out, "platform.lock"), str(out)), parts, str(out))
    files = render(made, host, parts)
    hooks.before_build(made.blueprint.data)
    output.write(files, out, complete=hooks.after_build)
    if say:
        say(f"wrote {out}")
    return Result(out, made, host, tuple(warnings))
