"""Images on the move: pull, push, load, save, import. All stream; none holds an image in memory."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from aiohttp import web

from moby_components.api.docker import respond
from moby_components.api.docker.changes import apply
from moby_components.api.docker.errors import of_host
from moby_components.api.docker.names import familiar, resolve, with_tag
from moby_components.api.docker.progress import Relay
from moby_py.errors import InvalidArgument, MobyError, NotFound, Unsupported
from moby_py.model import Progress, RegistryAuth

if TYPE_CHECKING:
    from moby_components.api.docker.call import Call

T = TypeVar("T")
Sink = Callable[[Progress], None]


async def create(call: Call) -> web.StreamResponse:
    """POST /images/create: a pull (fromImage) or an import (fromSrc=-)."""
    if call.text("fromImage"):
        return await pull(call)
    return await import_(call)


async def pull(call: Call) -> web.StreamResponse:
    reference = with_tag(call.text("fromImage"), call.text("tag"))
    engine, auth = call.backend.engine, registry_auth(call)
    out = respond.JsonStream(call.request)

    async def work(sink: Sink) -> object:
        return await engine.pull(reference, platform=call.text("platform"), auth=auth, progress=sink)

    await _relayed(out, work)
    return await out.end()


async def push(call: Call) -> web.StreamResponse:
    reference = with_tag(call.args["name"], call.text("tag"))
    try:
        image = await call.backend.store.inspect(reference)
    except NotFound:
        raise NotFound(f"An image does not exist locally with the tag: {familiar(reference)}") from None
    auth = registry_auth(call)
    out = respond.JsonStream(call.request)

    async def work(sink: Sink) -> str:
        return await call.backend.store.push(reference, auth=auth, progress=sink)

    digest = await _relayed(out, work)
    if digest is not None:
        tag = reference.rpartition(":")[2]
        await out.send({"progressDetail": {}, "aux": {"Tag": tag, "Digest": digest}})
        call.backend.engine.emit("image", "push", image.id, {"name": familiar(reference)})
    return await out.end()


async def _relayed(out: respond.JsonStream, work: Callable[[Sink], Awaitable[T]]) -> T | None:
    """Do the work, telling its progress. An error before the first line is raised (and gets a status
    of its own); a later one ends the stream, and None comes back. A client that leaves ends the work."""
    relay = Relay()
    task = asyncio.ensure_future(work(relay.sink))
    task.add_done_callback(lambda _: relay.end())
    try:
        async for lines in relay:
            await out.send(*lines)
        return await task
    except (MobyError, OSError, sqlite3.OperationalError) as error:
        problem = error if isinstance(error, MobyError) else of_host(error)
        if problem is None or not out.started:
            raise
        await out.fail(problem)
        return None
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


async def import_(call: Call) -> web.StreamResponse:
    if call.text("fromSrc") not in ("-", ""):
        raise Unsupported("importing from a URL is not served - download it and send it as the body")
    reference = with_tag(call.text("repo"), call.text("tag")) if call.text("repo") else ""
    config = apply({}, call.request.query.getall("changes", []))
    image = await call.backend.store.import_(
        body(call),
        reference=reference,
        config=config,
        message=call.text("message") or f"Imported from {call.text('fromSrc') or '-'}",
    )
    call.backend.engine.emit("image", "import", image.id, {"name": familiar(reference)})
    out = respond.JsonStream(call.request)
    await out.send({"status": image.id})
    return await out.end()


async def load(call: Call) -> web.StreamResponse:
    out = respond.JsonStream(call.request)

    async def work(sink: Sink) -> Any:
        return await call.backend.store.load(body(call), progress=None if call.flag("quiet") else sink)

    images = await _relayed(out, work)
    for image in images or ():
        names = [f"Loaded image: {familiar(name)}\n" for name in image.references]
        for line in names or [f"Loaded image ID: {image.id}\n"]:
            await out.send({"stream": line})
        call.backend.engine.emit("image", "load", image.id, {"name": image.id})
    return await out.end()


async def save(call: Call) -> web.StreamResponse:
    names = [call.args["name"]] if "name" in call.args else call.request.query.getall("names", [])
    if not names:
        raise InvalidArgument("no images named - give at least one as names=")
    refs = []
    for name in names:
        ref, image = await resolve(call.backend.store, name)
        refs.append(ref)
        call.backend.engine.emit("image", "save", image.id, {"name": familiar(ref)})
    return await respond.stream_bytes(call.request, call.backend.store.save(refs))


async def body(call: Call) -> AsyncIterator[bytes]:
    """The request's body as it comes in, no faster than it is used."""
    async for piece in call.request.content.iter_any():
        yield piece


def registry_auth(call: Call) -> RegistryAuth | None:
    """X-Registry-Auth: base64url of JSON. None where there is none (or an empty one): look in
    config.json. Raises InvalidArgument, without the text."""
    text = call.request.headers.get("X-Registry-Auth", "")
    if not text:
        return None
    try:
        plain = text.replace("+", "-").replace("/", "_")
        data = json.loads(base64.urlsafe_b64decode(plain + "=" * (-len(plain) % 4)) or b"{}")
        if not isinstance(data, dict):
            raise TypeError
        user, password = str(data.get("username") or ""), str(data.get("password") or "")
        if data.get("auth") and not user:
            user, _, password = base64.b64decode(str(data["auth"])).decode().partition(":")
    except (binascii.Error, ValueError, TypeError):
        raise InvalidArgument("invalid X-Registry-Auth header - not base64 of JSON") from None
    auth = RegistryAuth(
        username=user,
        password=password,
        identity_token=str(data.get("identitytoken") or ""),
        registry_token=str(data.get("registrytoken") or ""),
        server=str(data.get("serveraddress") or ""),
    )
    if not (auth.username or auth.identity_token or auth.registry_token):
        return None
    return auth
