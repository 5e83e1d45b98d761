"""Where the data of each mount lies on the host, found at a start: what was looked at is what is bound."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from moby_components.common.inroot import open_in_root
from moby_components.common.rooted import host_path
from moby_components.engine.moby.copyup import populate
from moby_components.engine.moby.entry import Entry
from moby_components.engine.moby.rendering.mounts import MountPlan
from moby_components.engine.moby.volumes.registry import Volumes
from moby_py.errors import InvalidArgument
from moby_py.model import Mount


async def user_mounts(volumes: Volumes, entry: Entry, root: Path | None) -> list[Mount]:
    """Binds, volumes (populated from the image when new) and tmpfs; not the secrets."""
    found = []
    for plan in (MountPlan.load(data) for data in entry.record.plans):
        if plan.type == "bind":
            found.append(_bind(plan, _bind_source(plan)))
        elif plan.type == "volume":
            folder = await volumes.use.open(plan.source, entry.id)
            if plan.copy and root is not None and not any(folder.iterdir()):
                await asyncio.to_thread(populate, root, plan.target, folder)
            found.append(_bind(plan, below(folder, plan.subpath) if plan.subpath else str(folder)))
        elif plan.type == "tmpfs":
            found.append(Mount(type="tmpfs", source="tmpfs", target=plan.target, options=plan.options))
    return found


def _bind(plan: MountPlan, source: str) -> Mount:
    options = ("rbind" if plan.recursive else "bind", plan.propagation or "rprivate")
    return Mount(
        type="bind", source=source, target=plan.target, options=(*options, "ro") if plan.readonly else options
    )


def _bind_source(plan: MountPlan) -> str:
    """Made as a folder when it is missing and the form of the mount says so (-v does)."""
    path = Path(plan.source)
    if not path.exists():
        if not plan.create_source or path.is_symlink():
            raise InvalidArgument(
                f'invalid mount config for type "bind": bind source path does not exist: {plan.source}'
            )
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidArgument(
                f"error while creating mount source path '{plan.source}': {error.strerror}"
            ) from error
    return str(path)


def below(folder: Path, subpath: str) -> str:
    """A path in a volume, which its users write: no link leads out."""
    try:
        fd = open_in_root(folder, subpath, os.O_PATH)
    except OSError as error:
        raise InvalidArgument(f"cannot access path {subpath} in the volume - {error.strerror}") from error
    try:
        return host_path(fd)
    finally:
        os.close(fd)
