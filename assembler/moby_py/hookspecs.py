"""The whole pluggy contract on one screen.

A plugin implements any of these with `@moby_py.hookimpl`. `moby_components` is called once, when a
blueprint names the plugin; the others while a platform is built or runs. Each implementation is
called on its own with a time limit: one that raises or hangs is named in the log and passed over,
and after three failures it is not asked again until the next start. Only `container_spec` can stop
something, by raising `moby_py.Veto`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from moby_py.component import Component
    from moby_py.model import ContainerSpec, Event

PROJECT = "moby_py"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def moby_components() -> Sequence[type[Component]]:  # type: ignore[empty-body]
    """The component classes that this plugin brings."""


@hookspec
def before_build(blueprint: Any) -> None:
    """Before anything is written; `blueprint` is the resolved, valid blueprint as plain data."""


@hookspec
def after_build(directory: Path) -> None:
    """After the platform directory is complete, before it is moved into place."""


@hookspec
def container_spec(spec: ContainerSpec) -> ContainerSpec | None:
    """What is about to run. Return a changed copy (`dataclasses.replace`), or None to leave it.
    Raise `moby_py.Veto("why")` to refuse: the start fails with that text (403)."""


@hookspec
def event(event: Event) -> None:
    """Something happened. Called after the fact, in order, off the daemon's own path."""
