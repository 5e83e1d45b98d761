"""Keeps the processes that components bring (`Component.services`) running.

Each is started, waited for until its socket accepts, restarted with back-off (0.2 s doubling to
30 s, reset after 30 s of life) when it ends, and stopped in reverse order with SIGTERM, then
SIGKILL after ten seconds.

What runs is written down (`survivors`). After a daemon was killed, the next one takes up a `keep`
service where its socket still accepts, and ends every other one before it starts a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from moby_py import survivors
from moby_py.component import Service
from moby_py.errors import Unavailable
from moby_py.survivors import Survivor

FIRST_DELAY, LONGEST_DELAY, HEALTHY_AFTER, STOP_GRACE = 0.2, 30.0, 30.0, 10.0


class Process:
    """A process seen through its pidfd: a child of ours, or one that an earlier daemon started."""

    def __init__(self, pid: int, handle: int, child: subprocess.Popen[bytes] | None = None) -> None:
        self.pid = pid
        self.started = survivors.started(pid)
        self.ended = asyncio.Event()
        self.status = "unknown"
        self._handle = handle
        self._child = child
        asyncio.get_running_loop().add_reader(handle, self._over)

    @property
    def adopted(self) -> bool:
        return self._child is None

    @classmethod
    def start(cls, service: Service) -> Process:
        """Raises OSError. A kept one has a session of its own: Ctrl-C at its daemon is not meant for it."""
        child = subprocess.Popen(
            service.argv,
            env={**os.environ, **service.env},
            stdin=subprocess.DEVNULL,
            start_new_session=service.keep,
        )
        return cls(child.pid, os.pidfd_open(child.pid), child)

    async def end(self) -> None:
        """SIGTERM, after ten seconds SIGKILL. Idempotent."""
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.ended.wait(), STOP_GRACE)
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await self.ended.wait()

    def leave(self) -> None:
        """Let it run on without us."""
        if self._child:
            self._child.returncode = 0  # no warning about a child that nobody waits for
        self._close()

    def _signal(self, number: int) -> None:
        if not self.ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def _over(self) -> None:
        if self._child:
            self.status = str(self._child.wait())
        self._close()
        self.ended.set()

    def _close(self) -> None:
        if self._handle >= 0:
            asyncio.get_running_loop().remove_reader(self._handle)
            os.close(self._handle)
            self._handle = -1


@dataclass
class _Running:
    name: str
    service: Service
    process: Process
    task: asyncio.Task[None] | None = None


class Supervisor:
    """Owns the service processes of one platform; `run` is its run directory."""

    def __init__(self, log: logging.Logger, run: Path) -> None:
        self._log = log
        self._run = run
        self._running: list[_Running] = []
        self._stopping = False
        self._survivors: dict[str, Survivor] | None = None

    async def start(self, service: Service, owner: str = "") -> None:
        """Start one, or take up the one that is there, and wait until it is ready. `owner` is the
        KIND/ID of its component. Raises Unavailable."""
        name = f"{owner}/{service.name}"
        process = await self._take_up(name, service)
        running = _Running(name, service, process or self._spawn(service))
        self._running.append(running)
        self._note()
        try:
            if process is None:
                await self._ready(running)
        except BaseException:
            await running.process.end()
            self._running.remove(running)
            self._note()
            raise
        running.task = asyncio.create_task(self._keep(running), name=f"service {service.name}")

    async def settle(self) -> None:
        """All services of this platform are started: what an earlier daemon left beyond them ends."""
        for name in list(self._left()):
            await self._end_left(name)
        self._note()

    async def stop(self, *, leave_kept: bool = False, leave_adopted: bool = False) -> None:
        """Stop all, the last started first. Idempotent. `leave_kept`: not those that outlive a daemon,
        since the containers that use them run on; `leave_adopted`: not those that were there before us."""
        self._stopping = True
        left: list[_Running] = []
        while self._running:
            running = self._running.pop()
            if running.task:
                running.task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running.task
            if running.service.keep and (leave_kept or (leave_adopted and running.process.adopted)):
                left.append(running)
            else:
                await running.process.end()
        self._running = left[::-1]
        self._note()
        for running in left:
            running.process.leave()
        self._running = []

    def _left(self) -> dict[str, Survivor]:
        """What was written down by an earlier daemon and is neither taken up nor ended yet."""
        if self._survivors is None:
            self._survivors = survivors.read(self._run)
        return self._survivors

    async def _take_up(self, name: str, service: Service) -> Process | None:
        survivor = self._left().get(name)
        if survivor is None:
            return None
        if service.keep and survivor.keep and survivor.argv == service.argv:
            handle = survivor.open()
            if handle is not None and (service.ready is None or _accepts(service.ready)):
                self._log.info("service %s goes on, pid %d", service.name, survivor.pid)
                del self._left()[name]
                return Process(survivor.pid, handle)
            if handle is not None:
                os.close(handle)
        await self._end_left(name)
        return None

    async def _end_left(self, name: str) -> None:
        survivor = self._left().pop(name)
        handle = survivor.open()
        if handle is not None:
            self._log.info("ending service %s of an earlier daemon, pid %d", name, survivor.pid)
            await Process(survivor.pid, handle).end()

    def _spawn(self, service: Service) -> Process:
        self._log.info("starting service %s", service.name)
        try:
            return Process.start(service)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise Unavailable(f"cannot start service {service.name} - {service.argv[0]}: {why}") from error

    def _note(self) -> None:
        """Write down what is out there. A full disk stops no service."""
        running = [
            Survivor(one.name, one.process.pid, one.process.started, one.service.argv, one.service.keep)
            for one in self._running
            if not one.process.ended.is_set()
        ]
        try:
            survivors.write(self._run, [*self._left().values(), *running])
        except OSError as error:
            self._log.error("cannot write down the running services - %s", error)

    async def _ready(self, running: _Running) -> None:
        service = running.service
        if service.ready is None:
            return
        deadline = time.monotonic() + service.ready_timeout
        delay = 0.005
        while not _accepts(service.ready):
            if running.process.ended.is_set():
                raise Unavailable(
                    f"service {service.name} ended with status {running.process.status} "
                    "before it was ready - see the platform's log",
                    hint="moby-py logs",
                )
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"service {service.name} is not ready after {service.ready_timeout:g} s - "
                    f"nothing accepts on {service.ready}",
                    hint="moby-py logs",
                )
            # No event tells of a listening socket; back off quickly instead of spinning.
            await asyncio.sleep(delay)
            delay = min(delay * 2, 0.2)

    async def _keep(self, running: _Running) -> None:
        delay = FIRST_DELAY
        while not self._stopping:
            born = time.monotonic()
            await running.process.ended.wait()
            if time.monotonic() - born > HEALTHY_AFTER:
                delay = FIRST_DELAY
            self._log.warning(
                "service %s ended with status %s; again in %.1f s",
                running.service.name,
                running.process.status,
                delay,
            )
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_DELAY)
            try:
                running.process = self._spawn(running.service)
                self._note()
                await self._ready(running)
            except Unavailable as error:
                self._log.warning("service %s did not come back: %s", running.service.name, error)


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
