"""Containers: their life, and the questions one may ask about them. Streams are in `streams.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from moby_components.api.docker import respond
from moby_components.api.docker.shapes import container as shapes
from moby_py.errors import Conflict, InvalidArgument, NotFound

if TYPE_CHECKING:
    from moby_components.api.docker.call import Call
    from moby_py.model import Container

FILTERS = frozenset(
    {
        *("ancestor", "before", "expose", "exited", "health", "id", "isolation", "is-task"),
        *("label", "name", "network", "publish", "since", "status", "volume"),
    }
)
PRUNE_FILTERS = frozenset({"until", "label", "label!"})


async def create(call: Call) -> web.Response:
    body = await call.body()
    if not body:
        raise InvalidArgument("config cannot be empty in order to create a container")
    made = await call.backend.engine.create(body, name=call.text("name"), platform=call.text("platform"))
    return respond.as_json({"Id": made.id, "Warnings": list(made.warnings)}, 201)


async def list_(call: Call) -> web.Response:
    filters = call.filters(FILTERS)
    limit = max(0, call.number("limit", 0) or 0)
    found = await call.backend.engine.list(
        all=call.flag("all") or bool(limit) or "status" in filters, limit=limit, filters=filters
    )
    known = {image.id: image.references for image in await call.backend.store.list()} if found else {}
    used = await call.backend.store.usage() if call.flag("size") and found else None
    answer: list[dict[str, Any]] = []
    for container in found:
        sizes = None
        if used is not None:
            own = used.containers.get(container.id, 0)
            sizes = (own, own + used.images.get(container.image_id, 0))
        answer.append(shapes.summary(container, image=_shown_image(container, known), sizes=sizes))
    return respond.as_json(answer)


def _shown_image(container: Container, known: dict[str, tuple[str, ...]]) -> str:
    """The name it was made from; the id once that name means another image (or none)."""
    from moby_py.reference import parse

    try:
        full = str(parse(container.image))
    except InvalidArgument:
        return container.image
    if full in known.get(container.image_id, ()) or "@" in full:
        return container.image
    if container.image_id.removeprefix("sha256:").startswith(container.image.removeprefix("sha256:")):
        return container.image
    return container.image_id


async def inspect(call: Call) -> web.Response:
    container = await call.backend.engine.inspect(call.args["name"])
    sizes = None
    if call.flag("size"):
        used = await call.backend.store.usage()
        own = used.containers.get(container.id, 0)
        sizes = (own, own + used.images.get(container.image_id, 0))
    return respond.as_json(shapes.inspect(container, driver=call.backend.store.name, sizes=sizes))


async def start(call: Call) -> web.Response:
    await call.backend.engine.start(call.args["name"])
    return respond.empty()


async def stop(call: Call) -> web.Response:
    await call.backend.engine.stop(call.args["name"], timeout=call.number("t"), signal=call.text("signal"))
    return respond.empty()


async def restart(call: Call) -> web.Response:
    await call.backend.engine.restart(call.args["name"], timeout=call.number("t"), signal=call.text("signal"))
    return respond.empty()


async def kill(call: Call) -> web.Response:
    await call.backend.engine.kill(call.args["name"], call.text("signal") or "SIGKILL")
    return respond.empty()


async def pause(call: Call) -> web.Response:
    await call.backend.engine.pause(call.args["name"])
    return respond.empty()


async def unpause(call: Call) -> web.Response:
    await call.backend.engine.unpause(call.args["name"])
    return respond.empty()


async def rename(call: Call) -> web.Response:
    name = call.text("name")
    if not name:
        raise InvalidArgument("Neither old nor new names may be empty")
    await call.backend.engine.rename(call.args["name"], name.removeprefix("/"))
    return respond.empty()


async def update(call: Call) -> web.Response:
    warnings = await call.backend.engine.update(call.args["name"], await call.body())
    return respond.as_json({"Warnings": list(warnings)})


async def remove(call: Call) -> web.Response:
    if call.flag("link"):
        raise InvalidArgument("links are not served - containers of one network find each other by name")
    await call.backend.engine.remove(call.args["name"], force=call.flag("force"), volumes=call.flag("v"))
    return respond.empty()


async def resize(call: Call) -> web.Response:
    height, width = call.size()
    await call.backend.engine.resize(call.args["name"], height, width)
    return respond.empty(200)


async def top(call: Call) -> web.Response:
    table = await call.backend.engine.top(call.args["name"], call.text("ps_args") or "-ef")
    return respond.as_json({"Titles": list(table.titles), "Processes": [list(row) for row in table.rows]})


async def changes(call: Call) -> web.Response:
    found = await call.backend.engine.changes(call.args["name"])
    return respond.as_json([{"Path": c.path, "Kind": c.kind} for c in found] or None)


async def prune(call: Call) -> web.Response:
    """Remove all that is stopped, subject to `until` and `label`."""
    from moby_components.api.docker.pruning import Pruning

    rules = Pruning(call.filters(PRUNE_FILTERS))
    engine = call.backend.engine
    before = (await call.backend.store.usage()).containers
    gone, freed = [], 0
    for container in await engine.list(all=True, filters={"status": ["created", "exited", "dead"]}):
        if not rules.takes(container.created, container.intent.get("Labels") or {}):
            continue
        try:
            await engine.remove(container.id)
        except (Conflict, NotFound):  # started or removed meanwhile
            continue
        gone.append(container.id)
        freed += before.get(container.id, 0)
    engine.emit("container", "prune", "", {"reclaimed": str(freed)})
    return respond.as_json({"ContainersDeleted": gone or None, "SpaceReclaimed": freed})
