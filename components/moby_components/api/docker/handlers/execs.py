"""Execs: created, started (with the connection taken over, or detached), asked about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from moby_components.api.docker import respond
from moby_components.api.docker.frames import STDERR, frame
from moby_components.api.docker.hijack import Hijacked, media_type
from moby_components.api.docker.pump import pump
from moby_components.api.docker.shapes import objects
from moby_py import detach_keys
from moby_py.errors import Conflict, InvalidArgument, MobyError

if TYPE_CHECKING:
    from moby_components.api.docker.call import Call


async def create(call: Call) -> web.Response:
    body = await call.body()
    if not body.get("Cmd"):
        raise InvalidArgument("No exec command specified")
    detach_keys.parse(body.get("DetachKeys") or "")
    id = await call.backend.engine.exec_create(call.args["name"], body)
    return respond.as_json({"Id": id}, 201)


async def start(call: Call) -> web.StreamResponse:
    """Our 101 goes out before the process starts: some clients lose bytes that come along with it.
    A start that fails after that is told in the stream and by the exec's exit code (Docker's way)."""
    body = await call.body()
    engine, id = call.backend.engine, call.args["id"]
    instance = await engine.exec_inspect(id)
    if instance.running or instance.exit_code is not None:
        raise Conflict(f"Error: Exec command {id} is already running or has ended")
    tty = bool(instance.config.get("Tty"))
    if body.get("Detach"):
        await engine.exec_start(id, detach=True, tty=tty)
        return respond.empty(200)
    container = await engine.inspect(instance.container_id)
    if container.state.status != "running":
        word = "paused" if container.state.status == "paused" else "not running"
        raise Conflict(f"container {container.id} is {word}")
    stdin = bool(instance.config.get("AttachStdin"))
    keys = detach_keys.parse(instance.config.get("DetachKeys") or "") if tty and stdin else b""
    async with Hijacked(call.request, media=media_type(call.version, tty=tty)) as raw:
        try:
            streams = await engine.exec_start(id, detach=False, tty=tty)
        except MobyError as problem:
            text = (problem.message + "\r\n").encode()
            await raw.write(text if tty else frame(STDERR, text))
        else:
            if streams is not None:
                await pump(raw, streams, framed=not tty, stdin=stdin, detach_keys=keys)
    return web.Response()  # never sent: the connection is no longer HTTP's


async def inspect(call: Call) -> web.Response:
    return respond.as_json(objects.exec_instance(await call.backend.engine.exec_inspect(call.args["id"])))


async def resize(call: Call) -> web.Response:
    height, width = call.size()
    await call.backend.engine.exec_resize(call.args["id"], height, width)
    return respond.empty(200)
