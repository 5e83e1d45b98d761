"""Where the data of each mount lies on the host, found at a start: what was looked at is what is bound."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from moby_components.common.inroot import open_in_root
from moby_components.common.rooted import host_path
from moby_components.engine.moby.copyup import populate
from moby_components.engine.moby.core import Core
from moby_components.engine.moby.entry import Entry
from moby_components.engine.moby.rendering.mounts import MountPlan
from moby_components.engine.moby.volumes import image_mounts, spread
from moby_components.engine.moby.volumes.registry import Volumes
from moby_components.engine.moby.volumes.stage import Stage
from moby_py.errors import InvalidArgument
from moby_py.model import Mount


async def user_mounts(core: Core, volumes: Volumes, entry: Entry, root: Path | None) -> list[Mount]:
    """Binds, volumes (populated from the image when new), images and tmpfs; not the secrets. What is
    staged for it is withdrawn once the runtime has made its own mounts."""
    stage = Stage(core.layout.stage(entry.id))
    found = []
    for number, data in enumerate(entry.record.plans):
        plan = MountPlan.load(data)
        if plan.type == "bind":
            found.append(await asyncio.to_thread(_bound, plan, stage))
        elif plan.type == "volume":
            folder = await volumes.use.open(plan.source, entry.id)
            if plan.copy and root is not None:
                await volumes.use.once(plan.source, populate, root, plan.target, folder)
            place = await asyncio.to_thread(_part, folder, plan, stage)
            found.append(_bind(plan, place, "rprivate"))
        elif plan.type == "image":
            folder = await image_mounts.mounted(core, entry, number, plan, stage)
            place = await asyncio.to_thread(_part, folder, plan, stage)
            found.append(_bind(plan, place, "rprivate"))
        elif plan.type == "tmpfs":
            found.append(Mount(type="tmpfs", source="tmpfs", target=plan.target, options=plan.options))
    return found


def check_source(plan: MountPlan) -> None:
    """Of a bind that makes no folder: it must be there. Raises InvalidArgument."""
    if plan.type == "bind" and not plan.create_source and not os.path.lexists(plan.source):
        raise _missing(plan)


def below(folder: Path, subpath: str) -> str:
    """Where a path in a volume, which its users write, is on the host: no link leads out. For a look
    only; who binds it takes `Stage`."""
    descriptor = _opened(folder, subpath)
    try:
        return host_path(descriptor)
    finally:
        os.close(descriptor)


def _bound(plan: MountPlan, stage: Stage) -> Mount:
    source = _source(plan)
    try:
        propagation = spread.checked(plan, source)
        if propagation in spread.SHARED:
            # Mounts go both ways between the container and this very mount: no place of ours can stand
            # in for it. What may be swapped here is what its owner has shared with the host anyway.
            return _bind(plan, Path(plan.source), propagation)
        deep = plan.deep if plan.readonly else "no"
        slave = propagation in spread.SLAVE
        place = stage.bind(source, recursive=plan.recursive, deep=deep, slave=slave)
        return _bind(plan, place, propagation)
    finally:
        os.close(source)


def _source(plan: MountPlan) -> int:
    """A descriptor of it; made as a folder when it is missing and the form of the mount says so (-v)."""
    for attempt in (False, True):
        try:
            return os.open(plan.source, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            if attempt or not plan.create_source or Path(plan.source).is_symlink():
                raise _missing(plan) from None
        except OSError as error:
            raise InvalidArgument(
                f'invalid mount config for type "bind": stat {plan.source}: {(error.strerror or "").lower()}'
            ) from None
        try:
            Path(plan.source).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidArgument(
                f"error while creating mount source path '{plan.source}': "
                f"mkdir {plan.source}: {(error.strerror or '').lower()}"
            ) from error
    raise _missing(plan)


def _missing(plan: MountPlan) -> InvalidArgument:
    return InvalidArgument(
        f'invalid mount config for type "bind": bind source path does not exist: {plan.source}'
    )


def _part(folder: Path, plan: MountPlan, stage: Stage) -> Path:
    """The folder, or the part of it that the mount names. The way to a whole volume is closed to all
    but us; the way within is its users'."""
    if not plan.subpath:
        return folder
    descriptor = _opened(folder, plan.subpath)
    try:
        return stage.bind(descriptor)
    finally:
        os.close(descriptor)


def _opened(folder: Path, subpath: str) -> int:
    try:
        return open_in_root(folder, subpath, os.O_PATH)
    except OSError as error:
        raise InvalidArgument(
            f"cannot access path {subpath} in the volume - {(error.strerror or '').lower()}"
        ) from error


def _bind(plan: MountPlan, source: Path, propagation: str) -> Mount:
    options = ("rbind" if plan.recursive else "bind", propagation)
    return Mount(
        type="bind",
        source=str(source),
        target=plan.target,
        options=(*options, "ro") if plan.readonly else options,
    )
