"""Networks, straight from the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from moby_components.api.docker import respond
from moby_components.api.docker.pruning import Pruning
from moby_components.api.docker.shapes import objects
from moby_py.errors import Conflict, InvalidArgument, NotFound, PermissionDenied, Unsupported

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from moby_components.api.docker.call import Call
    from moby_py.model import NetworkRecord

FILTERS = frozenset({"dangling", "driver", "id", "label", "name", "scope", "type"})


async def list_(call: Call) -> web.Response:
    filters = call.filters(FILTERS)
    used: set[str] = set()
    if "dangling" in filters:
        used = {
            name
            for container in await call.backend.engine.list(all=True)
            for name in container.network.get("Networks") or {}
        }
    records = [r for r in await call.backend.engine.networks() if _matches(r, filters, used)]
    return respond.as_json([objects.network(record) for record in records])


def _matches(record: NetworkRecord, filters: Mapping[str, Sequence[str]], used: set[str]) -> bool:
    for key, values in filters.items():
        match key:
            case "name":
                hit = any(value in record.name for value in values)
            case "id":
                hit = any(record.id.startswith(value) for value in values)
            case "driver":
                hit = record.driver in values
            case "scope":
                hit = "local" in values
            case "type":
                hit = ("builtin" if record.builtin else "custom") in values
            case "dangling":
                hit = (record.name not in used and not record.builtin) == (values[:1] in (["true"], ["1"]))
            case _:
                hit = Pruning({"label": list(values)}).takes("", record.labels)
        if not hit:
            return False
    return True


async def inspect(call: Call) -> web.Response:
    record = await call.backend.engine.network_inspect(call.args["name"])
    containers = await call.backend.engine.list(all=False)
    return respond.as_json(objects.network(record, containers))


async def create(call: Call) -> web.Response:
    body = await call.body()
    name = body.get("Name") or ""
    if not isinstance(name, str) or not name:
        raise InvalidArgument("network name cannot be empty")
    if body.get("EnableIPv4") is False:
        raise Unsupported(
            f"cannot create network {name[:100]} - networks without IPv4 are not supported",
            hint="leave --ipv4=false away; --ipv6 gives it both",
        )
    record = await call.backend.engine.network_create(
        name,
        driver=body.get("Driver") or "",
        internal=bool(body.get("Internal")),
        attachable=bool(body.get("Attachable")),
        ipv6=bool(body.get("EnableIPv6")),
        ipam=body.get("IPAM") or {},
        options=body.get("Options") or {},
        labels=body.get("Labels") or {},
    )
    return respond.as_json({"Id": record.id, "Warning": ""}, 201)


async def remove(call: Call) -> web.Response:
    await call.backend.engine.network_remove(call.args["name"])
    return respond.empty()


async def connect(call: Call) -> web.Response:
    body = await call.body()
    settings = body.get("EndpointConfig") or {}
    if not isinstance(settings, dict):
        raise InvalidArgument("invalid endpoint settings - EndpointConfig is not an object")
    await call.backend.engine.network_connect(call.args["name"], _container(body), settings)
    return respond.empty(200)


async def disconnect(call: Call) -> web.Response:
    body = await call.body()
    force = bool(body.get("Force"))
    await call.backend.engine.network_disconnect(call.args["name"], _container(body), force=force)
    return respond.empty(200)


def _container(body: Mapping[str, Any]) -> str:
    ref = body.get("Container")
    if not isinstance(ref, str) or not ref:
        raise InvalidArgument("no container given - Container is empty")
    return ref


async def prune(call: Call) -> web.Response:
    rules = Pruning(call.filters(frozenset({"until", "label", "label!"})))
    used = {
        name
        for container in await call.backend.engine.list(all=True)
        for name in container.network.get("Networks") or {}
    }
    gone = []
    for record in await call.backend.engine.networks():
        if record.builtin or record.name in used or not rules.takes(record.created, record.labels):
            continue
        try:
            await call.backend.engine.network_remove(record.id)
        except (Conflict, NotFound, PermissionDenied):
            continue
        gone.append(record.name)
    call.backend.engine.emit("network", "prune", "", {"reclaimed": "0"})
    return respond.as_json({"NetworksDeleted": gone or None})
