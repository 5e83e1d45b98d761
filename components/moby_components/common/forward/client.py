"""The daemon's side of the forwarder: asks it over a unix socket, and finds it again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from moby_components.common.forward.link import Link, Lost, Refused
from moby_components.common.forward.port import Port, refusal
from moby_py.component import Service
from moby_py.errors import MobyError, Unavailable, Unsupported

PROGRAM = Path(__file__).parent / "process" / "__main__.py"
FIRST_DELAY, LONGEST_DELAY, PATIENCE = 0.02, 0.5, 10.0


class Forwarder:
    """`run` is a private directory of the component; the socket in it is "forwarder.sock".

    Methods may be called concurrently and raise Unavailable when no forwarder answers within ten
    seconds (the supervisor starts a dead one again in far less).
    """

    def __init__(self, run: Path, log: logging.Logger, *, udp_idle: float = 90.0) -> None:
        self._socket = run / "forwarder.sock"
        self._log = log
        self._udp_idle = udp_idle
        self._ports: dict[str, Port] = {}
        self._unsaid = False
        """`sync` was called while no forwarder was there."""
        self._link: Link | None = None
        self._linked = asyncio.Event()
        self._holder: asyncio.Task[None] | None = None

    def service(self, name: str = "forwarder") -> Service:
        """The process, for `Component.services`."""
        argv = (sys.executable, "-I", "-S", str(PROGRAM), str(self._socket), f"{self._udp_idle:g}")
        return Service(name=name, argv=argv, ready=self._socket, keep=True)

    async def open(self) -> None:
        """Connect; a forwarder that is not there yet is waited for by whoever asks first. What an
        earlier daemon published stays until `sync`. Idempotent."""
        if self._holder is None:
            first = asyncio.Event()
            self._holder = asyncio.create_task(self._hold(first), name="forwarder")
            await first.wait()

    async def close(self) -> None:
        """Let go of it; published ports stay. Idempotent."""
        if self._holder is not None:
            self._holder.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._holder
            self._holder = None

    async def publish(self, port: Port) -> int:
        """Returns the host port. Idempotent for the same port and key. Raises Conflict for one that is
        taken, in Docker's words; PermissionDenied for a privileged one; Unsupported."""
        if port.protocol not in ("tcp", "udp"):
            raise Unsupported(f"cannot publish {port.port}/{port.protocol} - only tcp and udp are forwarded")
        try:
            bound = int(await self._ask("publish", port=asdict(port)))
        except Refused as refused:
            raise refusal(port, refused.errno, refused.text) from None
        self._ports[port.key] = replace(port, host_port=bound)
        return bound

    async def withdraw(self, *keys: str) -> None:
        """Stop listening, reset what is connected. Idempotent."""
        for key in keys:
            self._ports.pop(key, None)
        if keys:
            await self._ask("withdraw", keys=keys)

    async def sync(self, ports: Sequence[Port]) -> dict[str, MobyError]:
        """Publish exactly these; those that are published already notice nothing. Returns why, for
        each key that cannot be; it is tried again when the forwarder is. Without a forwarder it is
        done as soon as there is one."""
        self._ports = {port.key: port for port in ports}
        if not self._linked.is_set():
            self._unsaid = True
            return {}
        return await self._sync()

    async def listing(self) -> list[dict[str, Any]]:
        """What the process serves: the fields of Port, "bound", and "flows" that are open now."""
        found: list[dict[str, Any]] = await self._ask("list")
        return found

    async def _sync(self, link: Link | None = None) -> dict[str, MobyError]:
        ports = dict(self._ports)
        wanted = [asdict(port) for port in ports.values()]
        answer = await (link.ask("sync", ports=wanted) if link else self._ask("sync", ports=wanted))
        failed = {}
        for key, said in answer.items():
            if isinstance(said, int):
                if key in self._ports:
                    self._ports[key] = replace(ports[key], host_port=said)
            else:
                failed[key] = refusal(ports[key], int(said["errno"]), str(said["error"]))
        return failed

    async def _ask(self, op: str, **fields: Any) -> Any:
        for _ in range(3):
            link = await self._wait()
            try:
                return await link.ask(op, **fields)
            except Lost:
                if self._link is link:
                    self._linked.clear()  # the holder sees it too, and connects again
        raise Unavailable("the port forwarder ends whenever it is asked", hint="moby-py logs")

    async def _wait(self) -> Link:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._linked.wait()
        except TimeoutError:
            raise Unavailable(
                f"the port forwarder does not answer - nothing accepts on {self._socket}",
                hint="moby-py logs",
            ) from None
        assert self._link is not None  # noqa: S101 - set before the event
        return self._link

    async def _hold(self, first: asyncio.Event) -> None:
        """Connect, wait for the end, and publish everything again at the next one. `first` is set after
        the first attempt."""
        delay = FIRST_DELAY
        while True:
            try:
                link = await Link.to(os.fspath(self._socket))
            except OSError:
                first.set()
                # Nothing tells of a socket that begins to listen; the supervisor is starting it.
                await asyncio.sleep(delay)
                delay = min(delay * 2, LONGEST_DELAY)
                continue
            try:
                if self._unsaid:
                    for error in (await self._sync(link)).values():
                        self._log.error("a published port did not come back: %s", error)
                self._link, delay, self._unsaid = link, FIRST_DELAY, True
                self._linked.set()
                first.set()
                await link.ended()
            except (Lost, Refused) as error:
                self._log.warning("the port forwarder: %s", error)
            finally:
                self._linked.clear()
                link.close()
            self._log.warning("the port forwarder ended; connecting to the next one")
