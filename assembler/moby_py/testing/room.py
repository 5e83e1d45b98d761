"""A room for one component under test: real, private directories and no platform around it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moby_py.assembled import Assembled
from moby_py.component import Component, Context, Dirs, PlatformInfo


class QuietHooks:
    """No plugin listens."""

    async def container_spec(self, spec: Any) -> Any:
        return spec

    def event(self, event: Any) -> None:
        pass


def room_name(root: Path) -> str:
    """A platform name of this room's own: rooms side by side share no cgroup."""
    return "test-" + hashlib.sha256(str(root).encode()).hexdigest()[:12]


def make_context(
    cls: type[Component],
    root: Path,
    *,
    options: Mapping[str, Any] | None = None,
    id: str | None = None,
    wiring: Assembled | None = None,
    binaries: Mapping[str, Path] | None = None,
    rootless: bool = False,
    hooks: Any = None,
) -> Context:
    """The context of `cls` below `root`: state/, run/, config/."""
    id = id or cls.name
    dirs = Dirs(
        state=root / "state" / cls.kind / id,
        run=root / "run" / cls.kind / id,
        config=root / "out" / "etc" / cls.kind / id,
    )
    for path in (dirs.state, dirs.run):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Context(
        platform=PlatformInfo(
            name=room_name(root),
            directory=root / "out",
            state=root / "state",
            run=root / "run",
            rootless=rootless,
        ),
        id=id,
        options=dict(options or {}),
        dirs=dirs,
        wiring=wiring or Assembled(),
        hooks=hooks or QuietHooks(),
        binaries=dict(binaries or {}),
    )
