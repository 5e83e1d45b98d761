"""Volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from moby_components.api.docker import respond
from moby_components.api.docker.pruning import Pruning
from moby_components.api.docker.shapes import objects
from moby_components.api.docker.trees import tree_size
from moby_py.errors import Conflict, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from moby_components.api.docker.call import Call
    from moby_py.model import Volume

FILTERS = frozenset({"dangling", "driver", "label", "name"})
TRUE = frozenset({"1", "true", "True", "TRUE"})


async def list_(call: Call) -> web.Response:
    filters = call.filters(FILTERS)
    used = await _used(call) if "dangling" in filters else set()
    found = [v for v in await call.backend.engine.volumes() if _matches(v, filters, used)]
    return respond.as_json({"Volumes": [objects.volume(v) for v in found], "Warnings": None})


def _matches(record: Volume, filters: Mapping[str, Sequence[str]], used: set[str]) -> bool:
    for key, values in filters.items():
        match key:
            case "name":
                hit = any(value in record.name for value in values)
            case "driver":
                hit = record.driver in values
            case "dangling":
                hit = (record.name not in used) == any(value in TRUE for value in values)
            case _:
                hit = Pruning({"label": list(values)}).takes("", record.labels)
        if not hit:
            return False
    return True


async def _used(call: Call) -> set[str]:
    return {
        str(mount.get("Name"))
        for container in await call.backend.engine.list(all=True)
        for mount in container.mounts
        if mount.get("Type") == "volume"
    }


async def create(call: Call) -> web.Response:
    body = await call.body()
    made = await call.backend.engine.volume_create(
        body.get("Name") or "",
        driver=body.get("Driver") or "local",
        options=body.get("DriverOpts") or {},
        labels=body.get("Labels") or {},
    )
    return respond.as_json(objects.volume(made), 201)


async def inspect(call: Call) -> web.Response:
    return respond.as_json(objects.volume(await call.backend.engine.volume_inspect(call.args["name"])))


async def remove(call: Call) -> web.Response:
    await call.backend.engine.volume_remove(call.args["name"], force=call.flag("force"))
    return respond.empty()


async def prune(call: Call) -> web.Response:
    """Anonymous volumes; with the filter all=true named ones too (always, for clients before 1.42)."""
    filters = call.filters(frozenset({"all", "label", "label!"}))
    named = call.version < (1, 42) or any(value in TRUE for value in filters.pop("all", ()))
    rules = Pruning(filters)
    used = await _used(call)
    gone, freed = [], 0
    for volume in await call.backend.engine.volumes():
        if volume.name in used or not (named or volume.anonymous) or not rules.takes("", volume.labels):
            continue
        size = await tree_size(volume.mountpoint) if volume.driver == "local" else 0
        try:
            await call.backend.engine.volume_remove(volume.name)
        except (Conflict, NotFound):
            continue
        gone.append(volume.name)
        freed += size
    return respond.as_json({"VolumesDeleted": gone or None, "SpaceReclaimed": freed})
