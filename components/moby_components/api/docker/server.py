"""The HTTP server: one request in, version and route found, one handler called, errors told."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from typing import Any

from aiohttp import web

from moby_components.api.docker import respond
from moby_components.api.docker.backend import Backend
from moby_components.api.docker.call import Call
from moby_components.api.docker.connection import Connection, HttpServer
from moby_components.api.docker.errors import of_host
from moby_components.api.docker.router import Route, Router
from moby_components.api.docker.routes import ROUTES
from moby_components.api.docker.versions import NEWEST, show, split
from moby_py.component import Context
from moby_py.errors import MobyError, NotFound

LINE_LIMIT = 64 * 1024
"""Bytes of a request line: `docker save` puts every name into it."""
FIELD_LIMIT = 256 * 1024
"""Bytes of one header: X-Registry-Config carries every registry's credentials."""
IDLE = 75.0
"""Seconds a connection may stay without a request."""


class Server:
    """Handlers of routes marked `stream` are cancelled when their client leaves; all others run to
    their end, so that a half-done stop or remove is never left to chance."""

    def __init__(self, context: Context) -> None:
        self.backend = Backend.of(context)
        self.log = context.log
        self.router = Router(ROUTES)
        self.headers = {
            "Server": f"moby-py/{context.platform.version} (linux)",
            "Api-Version": show(NEWEST),
            "Docker-Experimental": "false",
            "Ostype": "linux",
        }
        self._work: set[asyncio.Future[web.StreamResponse]] = set()
        self._streams: set[asyncio.Task[Any]] = set()
        self._closing = False
        self.http = HttpServer(
            self.handle,
            auto_decompress=False,
            access_log=None,
            keepalive_timeout=IDLE,
            lingering_time=1.0,
            max_line_size=LINE_LIMIT,
            max_field_size=FIELD_LIMIT,
            max_headers=256,
            tcp_keepalive=False,
            logger=self.log,
        )

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.log.isEnabledFor(logging.DEBUG):
            self.log.debug("%s %s from %s", request.method, request.path_qs, peer(request))
        try:
            response = await self._answer(request)
        except MobyError as problem:
            self.log.debug("%s %s: %s", request.method, request.path, problem.message)
            response = respond.error(problem)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:
            response = self._unexpected(request, error)
        if isinstance(request.protocol, Connection):
            request.protocol.settle()
        if not response.prepared:
            for name, value in self.headers.items():
                response.headers.setdefault(name, value)
        return response

    def _unexpected(self, request: web.BaseRequest, error: Exception) -> web.Response:
        problem = of_host(error)
        if problem is not None:
            self.log.warning("%s %s: %s", request.method, request.path, error)
            return respond.error(problem)
        self.log.exception("%s %s failed", request.method, request.path, exc_info=error)
        return respond.as_json({"message": f"{type(error).__name__}: {error}"}, 500)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        version, path = split(request.path)
        found = self.router.find(request.method, path)
        if found is None:
            raise NotFound("page not found")
        route, args = found
        call = Call(request, self.backend, version, args)
        if route.stream:
            return await self._stream(route, call)
        work = asyncio.ensure_future(route.handler(call))
        self._work.add(work)
        work.add_done_callback(self._done)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            work.add_done_callback(self._left_alone)
            raise

    async def _stream(self, route: Route, call: Call) -> web.StreamResponse:
        task = asyncio.current_task()
        if task is None or self._closing:
            raise ConnectionResetError("the platform is going down")
        self._streams.add(task)
        try:
            return await route.handler(call)
        finally:
            self._streams.discard(task)

    def _done(self, work: asyncio.Future[web.StreamResponse]) -> None:
        self._work.discard(work)
        if not work.cancelled():
            work.exception()  # seen: where the client left, nobody else asks

    def _left_alone(self, work: asyncio.Future[web.StreamResponse]) -> None:
        """The client left before the end: nobody else tells what went wrong."""
        error = None if work.cancelled() else work.exception()
        if error is not None and not isinstance(error, ConnectionError):
            known = isinstance(error, MobyError)
            self.log.warning("after its client had left: %s", error, exc_info=None if known else error)

    async def close(self) -> None:
        """End streams now; give requests in work a moment."""
        self._closing = True
        for stream in tuple(self._streams):
            stream.cancel()
        if self._streams:
            await asyncio.wait(tuple(self._streams), timeout=3.0)
        if self._work:
            await asyncio.wait(tuple(self._work), timeout=3.0)


def peer(request: web.BaseRequest) -> str:
    """Who asks: pid, uid and gid as the kernel knows them (SO_PEERCRED)."""
    transport = request.transport
    sock = transport.get_extra_info("socket") if transport else None
    if sock is None:
        return "a client that has left"
    pid, uid, gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return f"pid {pid} uid {uid} gid {gid}"
