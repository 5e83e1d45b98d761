"""Ping, version, info, events, disk usage, and what this platform is not (a swarm)."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any

from aiohttp import web

from moby_components.api.docker import respond, times
from moby_components.api.docker.batch import batched
from moby_components.api.docker.errors import not_a_swarm, not_yet
from moby_components.api.docker.shapes import container as container_shape
from moby_components.api.docker.shapes import image as image_shape
from moby_components.api.docker.shapes import objects
from moby_components.api.docker.shapes.info import host_facts
from moby_components.api.docker.versions import NEWEST, OLDEST, show
from moby_py.errors import InvalidArgument, MobyError

if TYPE_CHECKING:
    from moby_components.api.docker.call import Call
    from moby_py.kinds import Engine

DISK_TYPES = frozenset({"container", "image", "volume", "build-cache"})
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def architecture() -> str:
    machine = os.uname().machine
    return ARCHITECTURES.get(machine, machine)


async def ping(_: Call) -> web.Response:
    """`Builder-Version: 1` makes clients use the classic builder; `Swarm: inactive` hides its commands."""
    headers = {
        "Builder-Version": "1",
        "Swarm": "inactive",
        "Cache-Control": "no-cache, no-store, must-revalidate",
        "Pragma": "no-cache",
    }
    return web.Response(body=b"OK", content_type="text/plain", headers=headers)


async def version(call: Call) -> web.Response:
    host = os.uname()
    about = {
        "ApiVersion": show(NEWEST),
        "MinAPIVersion": show(OLDEST),
        "GitCommit": "",
        "GoVersion": f"none (Python {platform.python_version()})",
        "Os": "linux",
        "Arch": architecture(),
        "KernelVersion": host.release,
        "BuildTime": "",
        "Experimental": "false",
    }
    number = call.backend.platform.version
    shape: dict[str, Any] = {
        "Platform": {"Name": f"moby-py platform {call.backend.platform.name}"},
        "Components": [{"Name": "Engine", "Version": number, "Details": about}],
        "Version": number,
        **{key: value for key, value in about.items() if key != "Experimental"},
    }
    facts = await call.backend.engine.info()
    for name, entry in sorted((facts.get("Runtimes") or {}).items()):
        told = (entry or {}).get("version")
        if told:
            shape["Components"].append({"Name": name, "Version": str(told), "Details": {}})
    return respond.as_json(shape)


async def info(call: Call) -> web.Response:
    """What the engine knows over what this API knows."""
    backend = call.backend
    shape = host_facts(
        backend.platform,
        driver=backend.store.name,
        images=len(await backend.store.list()),
        networks=sorted({record.driver for record in await backend.engine.networks()}),
    )
    shape.update(await backend.engine.info())
    return respond.as_json(shape)


async def events(call: Call) -> web.StreamResponse:
    """JSON objects for as long as the client listens (or until `until`)."""
    since = times.parameter(call.text("since"), "since")
    until = times.parameter(call.text("until"), "until")
    if since and until and since > until:
        raise InvalidArgument(
            f"`since` time ({call.text('since')}) cannot be after `until` time ({call.text('until')})"
        )
    stream = respond.JsonStream(call.request)
    source = call.backend.engine.events(since=since, until=until, filters=call.filters())
    await stream.open()
    async for batch in batched(source):
        await stream.send(*(objects.event(happened) for happened in batch))
    return await stream.end()


async def disk_usage(call: Call) -> web.Response:
    """`type` (several: container, image, volume, build-cache) asks for these only, as counting takes time."""
    types = frozenset(call.request.query.getall("type", ()))
    if types - DISK_TYPES:
        raise InvalidArgument(f"unknown object type: {', '.join(sorted(types - DISK_TYPES))}")
    wanted = types or DISK_TYPES
    backend = call.backend
    used = await backend.store.usage()
    containers = await backend.engine.list(all=True)
    images = await backend.store.list()
    users = [c.image_id for c in containers]
    shared = image_shape.shared_sizes(images)
    volumes = [objects.volume(v) for v in await backend.engine.volumes()] if "volume" in wanted else []
    mounted = [str(m.get("Name")) for c in containers for m in c.mounts if m.get("Type") == "volume"]
    for shape in volumes:
        size = await _volume_size(backend.engine, shape["Name"])
        shape["UsageData"] = {"Size": size, "RefCount": mounted.count(shape["Name"])}
    return respond.as_json(
        {
            "LayersSize": used.layers if "image" in wanted else 0,
            "Images": [
                image_shape.summary(i, containers=users.count(i.id), shared=shared[i.id])
                for i in images
                if "image" in wanted
            ],
            "Containers": [
                container_shape.summary(
                    c,
                    sizes=(
                        own := used.containers.get(c.id, 0),
                        own + used.images.get(c.image_id, 0),
                    ),
                )
                for c in containers
                if "container" in wanted
            ],
            "Volumes": volumes,
            "BuildCache": [],
            "BuilderSize": 0,
        }
    )


async def _volume_size(engine: Engine, name: str) -> int:
    """-1 where nobody can tell, also since it has gone meanwhile."""
    try:
        return await engine.volume_usage(name)
    except MobyError:
        return -1


async def plugins(_: Call) -> web.Response:
    """dockerd's out-of-process plugins: none. Components are named in the blueprint."""
    return respond.as_json([])


async def no_plugin(call: Call) -> web.Response:
    from moby_py.errors import NotFound

    raise NotFound(f'plugin "{call.args["name"]}" not found')


async def no_build_cache(_: Call) -> web.Response:
    """Nothing is built here, so nothing is kept: `docker system prune` asks all the same."""
    return respond.as_json({"CachesDeleted": None, "SpaceReclaimed": 0})


async def no_swarm(_: Call) -> web.Response:
    raise not_a_swarm()


async def later(call: Call) -> web.Response:
    raise not_yet(f"{call.request.method} {call.request.path}")
