"""What takes as long as a container does: attach, wait, logs, stats."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from moby_components.api.docker import respond, times
from moby_components.api.docker.batch import batched
from moby_components.api.docker.frames import frame
from moby_components.api.docker.hijack import Hijacked, media_type
from moby_components.api.docker.pump import pump
from moby_components.api.docker.shapes import stats as stats_shape
from moby_components.common.logattributes import Logged, details
from moby_py import detach_keys
from moby_py.errors import InvalidArgument
from moby_py.model import AttachOptions, Container, LogLine, LogOptions, Stats

if TYPE_CHECKING:
    from moby_components.api.docker.call import Call

CONDITIONS = {
    "": "not-running",
    "not-running": "not-running",
    "next-exit": "next-exit",
    "removed": "removed",
}


async def attach(call: Call) -> web.StreamResponse:
    name = call.args["name"]
    keys = detach_keys.parse(call.text("detachKeys"))
    container = await call.backend.engine.inspect(name)
    tty = bool(container.intent.get("Tty"))
    stdin = call.flag("stdin") and bool(container.intent.get("OpenStdin"))
    wanted = frozenset(n for n, word in ((1, "stdout"), (2, "stderr")) if call.flag(word))
    if tty and wanted:
        wanted = frozenset({1})
    options = AttachOptions(
        stdin=stdin,
        stdout=1 in wanted,
        stderr=2 in wanted,
        logs=call.flag("logs"),
        stream=call.flag("stream"),
    )
    streams = await call.backend.engine.attach(name, options)
    try:
        async with Hijacked(call.request, media=media_type(call.version, tty=tty)) as raw:
            await pump(
                raw,
                streams,
                framed=not tty,
                stdin=stdin,
                wanted=wanted,
                detach_keys=keys if tty and stdin else b"",
            )
    finally:
        await streams.close()
    return web.Response()  # never sent: the connection is no longer HTTP's


async def wait(call: Call) -> web.StreamResponse:
    """Status and headers at once, the answer when it is known: `docker run` sends start only after
    it has seen the headers, and by then we must be waiting."""
    condition = CONDITIONS.get(call.text("condition"))
    if condition is None:
        raise InvalidArgument(f'invalid condition: "{call.text("condition")}"')
    engine = call.backend.engine
    container = await engine.inspect(call.args["name"])
    waiting = asyncio.ensure_future(engine.wait(container.id, condition))
    try:
        await asyncio.sleep(0)  # lets it register
        stream = respond.JsonStream(call.request)
        if not waiting.done():
            await stream.open()
        code, problem = await waiting
    finally:
        waiting.cancel()
    answer: dict[str, object] = {"StatusCode": code}
    if problem and condition != "removed":  # there it would mean that the removal failed
        answer["Error"] = {"Message": problem}
    await stream.send(answer)
    return await stream.end()


async def logs(call: Call) -> web.StreamResponse:
    options = LogOptions(
        stdout=call.flag("stdout"),
        stderr=call.flag("stderr"),
        follow=call.flag("follow"),
        since=times.parameter(call.text("since"), "since"),
        until=times.parameter(call.text("until"), "until"),
        tail=_tail(call.text("tail")),
    )
    if not (options.stdout or options.stderr):
        raise InvalidArgument("Bad parameters: you must choose at least one stream")
    container = await call.backend.engine.inspect(call.args["name"])
    tty = bool(container.intent.get("Tty"))
    stamps, extra = call.flag("timestamps"), b""
    if call.flag("details"):
        extra = logged_details(container).encode() + b" "
    source = call.backend.engine.logs(container.id, options)
    response = web.StreamResponse()
    response.content_type = media_type(call.version, tty=tty)
    fresh = True
    async for batch in batched(source):
        pieces = []
        for line in batch:
            text = _stamped(line, extra, stamps=stamps) if fresh else line.text
            fresh = line.text.endswith(b"\n")
            pieces.append(text if tty else frame(line.stream, text))
        if not response.prepared:
            await response.prepare(call.request)
        await response.write(b"".join(pieces))
    if not response.prepared:
        await response.prepare(call.request)
    await response.write_eof()
    return response


def _stamped(line: LogLine, extra: bytes, *, stamps: bool) -> bytes:
    return (line.time.encode() + b" " if stamps else b"") + extra + line.text


def logged_details(container: Container) -> str:
    """What its log driver's options labels, env and tag choose."""
    config = (container.intent.get("HostConfig") or {}).get("LogConfig") or {}
    who = Logged.of(container.id, container.name, container.image, container.image_id, container.intent)
    return details(config.get("Config") or {}, who)


def _tail(text: str) -> int:
    """A number of lines; everything else means all (Docker's rule)."""
    try:
        return max(-1, int(text))
    except ValueError:
        return -1


async def stats(call: Call) -> web.StreamResponse:
    """One sample a second (`stream`), two a second apart (the second is sent), or one (`one-shot`)."""
    engine = call.backend.engine
    container = await engine.inspect(call.args["name"])
    follow = call.flag("stream", True)
    before = None
    out = respond.JsonStream(call.request)
    primed = follow or call.flag("one-shot")
    while True:
        running = container.state.status in ("running", "paused")
        now, system = times.now(), stats_shape.system_cpu()
        value = await engine.stats(container.id) if running else Stats()
        shape = stats_shape.sample(
            value, id=container.id, name=container.name, read=now, system=system, before=before
        )
        if not running:
            shape["read"], shape["preread"] = times.ZERO, times.ZERO
        if primed or not running:
            await out.send(shape)
            if not follow:
                return await out.end()
        primed = True
        before = (now, shape["cpu_stats"])
        await asyncio.sleep(1.0)
        container = await engine.inspect(container.id)
