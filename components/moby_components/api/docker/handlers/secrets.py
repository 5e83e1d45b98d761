"""Secrets without a swarm: the same paths and shapes, so that `docker secret` works unchanged."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from aiohttp import web

from moby_components.api.docker import respond
from moby_components.api.docker.pruning import Pruning
from moby_components.api.docker.shapes import objects
from moby_py.errors import InvalidArgument

if TYPE_CHECKING:
    from moby_components.api.docker.call import Call

FILTERS = frozenset({"id", "ids", "label", "name", "names"})


async def list_(call: Call) -> web.Response:
    filters = call.filters(FILTERS)
    ids = filters.pop("ids", []) + filters.pop("id", [])
    parts = filters.pop("name", [])
    names = filters.pop("names", [])
    labels = Pruning(filters)
    found = [
        record
        for record in await call.backend.secrets.list()
        if (not ids or any(record.id.startswith(id) for id in ids))
        and (not parts or any(part in record.name for part in parts))
        and (not names or record.name in names)
        and labels.takes("", record.labels)
    ]
    return respond.as_json([objects.secret(record) for record in found])


async def create(call: Call) -> web.Response:
    body = await call.body()
    if body.get("Driver"):
        raise InvalidArgument("secret drivers are not served - the blueprint names where secrets are kept")
    value = _value(body)
    if value is None:
        raise InvalidArgument("secret data must not be empty")
    record = await call.backend.secrets.create(
        str(body.get("Name") or ""), value, labels=body.get("Labels") or {}
    )
    call.backend.engine.emit("secret", "create", record.id, {"name": record.name})
    return respond.as_json({"ID": record.id}, 201)


async def inspect(call: Call) -> web.Response:
    return respond.as_json(objects.secret(await call.backend.secrets.inspect(call.args["name"])))


async def update(call: Call) -> web.Response:
    body = await call.body()
    record = await call.backend.secrets.inspect(call.args["name"])
    version = call.number("version")
    if version is not None and version != record.version:
        raise InvalidArgument(f"update out of sequence - the secret is at version {record.version}")
    if body.get("Name") not in (None, "", record.name):
        raise InvalidArgument("a secret's name cannot be changed - create another one")
    labels = body.get("Labels")
    await call.backend.secrets.update(record.id, value=_value(body), labels=labels)
    call.backend.engine.emit("secret", "update", record.id, {"name": record.name})
    return respond.empty(200)


async def remove(call: Call) -> web.Response:
    record = await call.backend.secrets.inspect(call.args["name"])
    await call.backend.secrets.remove(record.id)
    call.backend.engine.emit("secret", "remove", record.id, {"name": record.name})
    return respond.empty()


def _value(body: dict[str, Any]) -> bytes | None:
    """`Data`, base64 in either alphabet; None when there is none. Its text never gets into an error."""
    data = body.get("Data")
    if data is None or data == "":
        return None
    try:
        text = str(data).replace("-", "+").replace("_", "/")
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidArgument("invalid secret data - not base64") from None
