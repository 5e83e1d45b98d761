"""Volumes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aiohttp import web

from moby_components.api.docker import respond
from moby_components.api.docker.pruning import Pruning
from moby_components.api.docker.shapes import objects
from moby_py.errors import Conflict, InvalidArgument, MobyError, NotFound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from moby_components.api.docker.call import Call
    from moby_py.model import Volume

FILTERS = frozenset({"dangling", "driver", "label", "name"})
TRUE = frozenset({"1", "true", "True", "TRUE"})
FALSE = frozenset({"0", "false", "False", "FALSE"})
TAR = "application/x-tar"


async def list_(call: Call) -> web.Response:
    filters = call.filters(FILTERS)
    dangling = filters.pop("dangling", [])
    if dangling and (len(dangling) > 1 or dangling[0] not in TRUE | FALSE):
        raise InvalidArgument(f"invalid filter 'dangling=[{' '.join(dangling)}]'")
    used = await _used(call) if dangling else set()
    found = [
        volume
        for volume in await call.backend.engine.volumes()
        if _matches(volume, filters) and (not dangling or (volume.name not in used) == (dangling[0] in TRUE))
    ]
    return respond.as_json({"Volumes": [objects.volume(v) for v in found], "Warnings": None})


def _matches(record: Volume, filters: Mapping[str, Sequence[str]]) -> bool:
    for key, values in filters.items():
        match key:
            case "name":
                hit = any(value == record.name or _found(value, record.name) for value in values)
            case "driver":
                hit = record.driver in values
            case _:
                hit = Pruning({"label": list(values)}).takes("", record.labels)
        if not hit:
            return False
    return True


def _found(pattern: str, name: str) -> bool:
    """Docker takes the filter's value for a regular expression."""
    try:
        return re.search(pattern, name) is not None
    except re.error:
        return False


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
        driver=body.get("Driver") or "",
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
    engine = call.backend.engine
    gone, freed = [], 0
    for volume in await engine.volumes():
        if volume.name in used or not (named or volume.anonymous) or not rules.takes("", volume.labels):
            continue
        try:
            size = await engine.volume_usage(volume.name)
            await engine.volume_remove(volume.name)
        except (Conflict, NotFound):
            continue  # taken or gone meanwhile
        except MobyError as problem:
            call.backend.log.warning("volume %s stays: %s", volume.name, problem)
            continue
        gone.append(volume.name)
        freed += max(size, 0)
    engine.emit("volume", "prune", "", {"reclaimed": str(freed)})
    return respond.as_json({"VolumesDeleted": gone or None, "SpaceReclaimed": freed})


# -- moby-py's own: what Docker has no words for -----------------------------------------------------


async def export(call: Call) -> web.StreamResponse:
    """GET /volumes/{name}/export: its data as a tar."""
    return await respond.stream_bytes(
        call.request, await call.backend.engine.volume_export(call.args["name"]), TAR
    )


async def import_(call: Call) -> web.Response:
    """PUT (or POST) /volumes/{name}/import: a tar, plain or compressed, as the body."""
    made = await call.backend.engine.volume_import(call.args["name"], _body(call))
    return respond.as_json(objects.volume(made), 201)


async def clone(call: Call) -> web.Response:
    """POST /volumes/{name}/clone {"Name": NEW}."""
    body = await call.body()
    name = body.get("Name")
    if not isinstance(name, str):
        raise InvalidArgument("invalid Name - it must be text")
    made = await call.backend.engine.volume_clone(call.args["name"], name)
    return respond.as_json(objects.volume(made), 201)


async def _body(call: Call) -> AsyncIterator[bytes]:
    """As it comes in, no faster than it is used."""
    async for piece in call.request.content.iter_any():
        yield piece
