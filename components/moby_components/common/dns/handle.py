"""The engine's handle on the resolver process.

It remembers the whole truth and tells it again whenever the process was restarted: the broken
connection says so, nothing is polled. Only while there is no process at all - the supervisor is
starting the next one - the connect is tried again, after 10 ms doubling to half a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from moby_components.common.dns.connection import Connection
from moby_components.common.dns.records import Client, Named
from moby_py.component import Service
from moby_py.errors import RuntimeFailed, Unavailable

PROTOCOL = "1"
"""Part of the command line: a daemon of another version does not adopt a process that it cannot talk to."""
PATIENCE = 10.0
FIRST_DELAY, LONGEST_DELAY = 0.01, 0.5
SOCKET = "dns.sock"


class Resolver:
    """All methods may be called concurrently and are idempotent. They return when the process has
    obeyed. `name`, `serve` and `sync` raise Unavailable when there is none for ten seconds; what was
    asked is remembered all the same, but for what it refused."""

    def __init__(self, run: Path, log: logging.Logger) -> None:
        self._path = run / SOCKET
        self._log = log
        self._names: dict[tuple[str, str], Named] = {}
        self._clients: dict[str, Client] = {}
        self._ports: dict[str, Any] = {}
        self._whole = False
        self._connection: Connection | None = None
        self._connected = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def service(self) -> Service:
        """For `Component.services`. The process is one per platform and outlives a killed daemon."""
        program = Path(__file__).with_name("process") / "__main__.py"
        return Service(
            name="dns",
            argv=(
                *(sys.executable, "-I", "-S", str(program)),
                *("--socket", str(self._path), "--protocol", PROTOCOL),
            ),
            ready=self._path,
            keep=True,
        )

    async def name(self, *named: Named) -> None:
        """Add endpoints, each in place of an earlier one of the same container and network."""
        for one in named:
            self._names[one.container, one.network] = one
        answer = await self._ask(lambda: {"op": "name", "named": [one.plain() for one in named]})
        if "error" in answer:
            for one in named:
                self._names.pop((one.container, one.network), None)
            raise RuntimeFailed(f"the resolver refused a name - {answer['error']}")

    async def unname(self, container: str, network: str) -> None:
        """Forget one endpoint. A container that goes is not held up by a resolver that is gone."""
        self._names.pop((container, network), None)
        await self._tell({"op": "unname", "container": container, "network": network})

    async def serve(self, client: Client) -> None:
        """Answer a container from now on, or as this says from now on. Raises RuntimeFailed where its
        sandbox cannot be entered or its gateway's port 53 is taken."""
        before = self._clients.get(client.id)
        self._clients[client.id] = client
        answer = await self._ask(lambda: {"op": "serve", "client": client.plain()})
        if "error" in answer:
            if self._clients.get(client.id) is client:
                del self._clients[client.id]
                if before is not None:
                    self._clients[client.id] = before
            raise RuntimeFailed(
                f"cannot serve names to container {client.id[:12]} - {answer['error']}",
                hint="moby-py logs",
            )
        self._ports[client.id] = answer["ports"]

    async def dismiss(self, container_id: str) -> None:
        """Answer a container no more."""
        self._clients.pop(container_id, None)
        self._ports.pop(container_id, None)
        await self._tell({"op": "dismiss", "client": container_id})

    async def sync(self, named: Sequence[Named], clients: Sequence[Client]) -> None:
        """The whole truth, once after a start of the daemon: what the process holds beyond it goes.
        What fails (a sandbox that is gone) is logged."""
        self._names = {(one.container, one.network): one for one in named}
        self._clients = {client.id: client for client in clients}
        self._synced(await self._ask(self._truth))
        self._whole = True

    async def close(self) -> None:
        """Let go of the process, which the supervisor ends. Idempotent."""
        task, self._task = self._task, None
        if task:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self._connection:
            await self._connection.close()
        self._connection = None
        self._connected.clear()

    def _truth(self) -> dict[str, Any]:
        return {
            "op": "sync",
            "named": [one.plain() for one in self._names.values()],
            "clients": [
                {**client.plain(), "ports": self._ports.get(client.id)} for client in self._clients.values()
            ],
        }

    def _synced(self, answer: Mapping[str, Any]) -> None:
        if "error" in answer:
            raise RuntimeFailed(f"the resolver did not take up its names - {answer['error']}")
        self._ports = dict(answer["ports"])
        for container, why in answer["failed"].items():
            self._log.warning("dns: container %s is not served - %s", container[:12], why)

    async def _tell(self, request: Mapping[str, Any]) -> None:
        """To a process that is there; its successor begins without what this takes away. Before `sync`
        nobody knows what is there."""
        if self._connection is not None:
            with contextlib.suppress(ConnectionError):
                await self._connection.ask(request)
        elif not self._whole:
            await self._ask(lambda: request)

    async def _ask(self, request: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._stay_connected(), name="dns")
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    await self._connected.wait()
                    connection = self._connection
                    assert connection is not None  # noqa: S101 - set before the event
                    # Asked again where the process ended meanwhile: all of it is idempotent.
                    with contextlib.suppress(ConnectionError):
                        return await connection.ask(request())
                    if self._connection is connection:
                        self._connected.clear()
        except TimeoutError:
            raise Unavailable(
                f"the resolver does not answer - nothing accepts on {self._path}", hint="moby-py logs"
            ) from None

    async def _stay_connected(self) -> None:
        again = False
        while True:
            self._connection = connection = await self._connect()
            try:
                # Before `sync` was called we do not know what a process of an earlier daemon has to
                # keep; one that was started anew has nothing.
                if self._whole or again:
                    self._synced(await connection.ask(self._truth()))
            except ConnectionError:
                self._connection = None
                await connection.close()
                continue
            except RuntimeFailed as error:
                self._log.error("%s", error)
            self._connected.set()
            try:
                await connection.ended.wait()
            finally:
                self._connected.clear()
                self._connection = None
                await connection.close()
            again = True
            self._log.warning("dns: the resolver process ended; its successor will be told everything")

    async def _connect(self) -> Connection:
        delay = FIRST_DELAY
        while True:
            try:
                return await Connection.open(self._path, self._log)
            except OSError:
                await asyncio.sleep(delay)
                delay = min(delay * 2, LONGEST_DELAY)
