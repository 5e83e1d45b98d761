"""Files of containers as tars: docker cp (HEAD, GET, PUT .../archive) and docker export."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from aiohttp import web

from moby_components.api.docker import respond
from moby_components.api.docker.handlers.transfer import body
from moby_components.api.docker.shapes.path_stat import path_stat
from moby_py.errors import InvalidArgument

if TYPE_CHECKING:
    from moby_components.api.docker.call import Call
    from moby_py.model import PathStat

STAT = "X-Docker-Container-Path-Stat"


async def stat(call: Call) -> web.Response:
    """HEAD: only the header."""
    found = await call.backend.engine.archive_stat(call.args["name"], _path(call))
    return web.Response(headers={STAT: _encoded(found)})


async def get(call: Call) -> web.StreamResponse:
    found, data = await call.backend.engine.archive_get(call.args["name"], _path(call))
    return await respond.stream_bytes(call.request, data, headers={STAT: _encoded(found)})


async def put(call: Call) -> web.Response:
    await call.backend.engine.archive_put(
        call.args["name"],
        _path(call),
        body(call),
        overwrite_dir_with_file=not call.flag("noOverwriteDirNonDir"),
        keep_owners=call.flag("copyUIDGID"),
    )
    return respond.empty(200)


async def export(call: Call) -> web.StreamResponse:
    data = await call.backend.engine.export(call.args["name"])
    return await respond.stream_bytes(call.request, data, content_type="application/octet-stream")


def _path(call: Call) -> str:
    path = call.text("path")
    if not path:
        raise InvalidArgument("bad parameter: path cannot be empty")
    if "\0" in path:
        raise InvalidArgument("bad parameter: path holds a NUL byte")
    return path


def _encoded(found: PathStat) -> str:
    return base64.b64encode(respond.encode(path_stat(found))).decode()
