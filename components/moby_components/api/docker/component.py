"""The component: a socket with the right owner and mode, and an HTTP server behind it."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from moby_py.component import Context
from moby_py.errors import HostError
from moby_py.kinds import Api

if TYPE_CHECKING:
    from aiohttp import web

    from moby_components.api.docker.server import Server

SUN_PATH = 107
"""Bytes of a unix socket's path that the kernel takes (unix(7), less the final NUL)."""


class Docker(Api):
    name = "docker"
    summary = "the Docker Engine API (1.24 to 1.47) on a unix socket"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.socket_path = context.platform.run / "docker.sock"
        self._runner: web.ServerRunner | None = None
        self._server: Server | None = None
        self._inode: tuple[int, int] | None = None

    @property
    def endpoint(self) -> str:
        return f"unix://{self.socket_path}"

    async def open(self) -> None:
        """Bind, set owner and mode, serve. A stale socket of a killed daemon is replaced: the
        platform's lock makes sure that there is no second daemon."""
        from aiohttp import web

        from moby_components.api.docker.server import Server

        if self._runner is not None:
            return
        sock = bind(self.socket_path, self.context.dirs.run, group=self.options.get("group", ""))
        server = Server(self.context)
        runner = web.ServerRunner(server.http, shutdown_timeout=1.0)
        try:
            await runner.setup()
            await web.SockSite(runner, sock, backlog=1024).start()
        except BaseException:
            sock.close()
            await runner.cleanup()
            raise
        self._runner, self._server = runner, server
        status = self.socket_path.stat()
        self._inode = (status.st_dev, status.st_ino)
        self.log.debug("serving the Docker API on %s", self.endpoint)

    async def close(self) -> None:
        """End every stream, then the server. The socket file goes if it is still ours."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        try:
            status = self.socket_path.stat()
            if (status.st_dev, status.st_ino) == self._inode:
                self.socket_path.unlink()
        except FileNotFoundError:
            pass
        if self._server is not None:
            await self._server.close()
        await runner.cleanup()
        await asyncio.sleep(0)  # closed transports report back


def bind(path: Path, private: Path, *, group: str = "") -> socket.socket:
    """A listening-to-be unix socket at `path`, mode 0660 from the first moment that it is there.

    It is bound inside `private` (a directory of mode 0700), given its owner and mode, and moved
    into place. Raises HostError: unknown group, path too long.
    """
    gid = _group(group) if group else -1
    fresh = private / "s"
    for candidate in (path, fresh):
        if len(os.fsencode(candidate)) > SUN_PATH:
            raise HostError(
                f"cannot listen on {candidate} - a unix socket's path has at most {SUN_PATH} bytes",
                hint="choose a shorter directory with `moby-py up --run DIR`",
            )
    fresh.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(str(fresh))
        fresh.chmod(0o660 if group else 0o600)
        if group:
            os.chown(fresh, -1, gid)
            os.chown(path.parent, -1, gid)
            path.parent.chmod(0o710)
        fresh.rename(path)
    except BaseException:
        sock.close()
        fresh.unlink(missing_ok=True)
        raise
    sock.setblocking(False)
    return sock


def _group(name: str) -> int:
    import grp

    try:
        return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid
    except KeyError:
        raise HostError(
            f"no group {name!r} on this host - the api's option `group` names it",
            hint=f"groupadd {name}",
        ) from None
