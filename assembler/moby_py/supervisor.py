"""Keeps the processes that components bring (`Component.services`) running.

Each is started, waited for until its socket accepts, restarted with back-off (0.2 s doubling to
30 s, reset after 30 s of life) when it ends, and stopped in reverse order with SIGTERM, then
SIGKILL after ten seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from moby_py.component import Service
from moby_py.errors import Unavailable

FIRST_DELAY, LONGEST_DELAY, HEALTHY_AFTER, STOP_GRACE = 0.2, 30.0, 30.0, 10.0


@dataclass
class _Running:
    service: Service
    process: asyncio.subprocess.Process
    task: asyncio.Task[None] | None = None


class Supervisor:
    """Owns the service processes of one platform."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._running: list[_Running] = []
        self._stopping = False

    async def start(self, service: Service) -> None:
        """Start one and wait until it is ready. Raises Unavailable with its last line of output."""
        running = _Running(service, await self._spawn(service))
        try:
            await self._ready(running)
        except BaseException:
            await self._end(running.process)
            raise
        running.task = asyncio.create_task(self._keep(running), name=f"service {service.name}")
        self._running.append(running)

    async def stop(self) -> None:
        """Stop all, the last started first. Idempotent."""
        self._stopping = True
        while self._running:
            running = self._running.pop()
            if running.task:
                running.task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running.task
            await self._end(running.process)

    async def _spawn(self, service: Service) -> asyncio.subprocess.Process:
        self._log.info("starting service %s", service.name)
        return await asyncio.create_subprocess_exec(
            *service.argv, env={**os.environ, **service.env}, stdin=asyncio.subprocess.DEVNULL
        )

    async def _ready(self, running: _Running) -> None:
        service = running.service
        if service.ready is None:
            return
        deadline = time.monotonic() + service.ready_timeout
        delay = 0.005
        while not _accepts(service.ready):
            if running.process.returncode is not None:
                raise Unavailable(
                    f"service {service.name} ended with status {running.process.returncode} "
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
            status = await running.process.wait()
            if time.monotonic() - born > HEALTHY_AFTER:
                delay = FIRST_DELAY
            self._log.warning(
                "service %s ended with status %s; again in %.1f s", running.service.name, status, delay
            )
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_DELAY)
            try:
                running.process = await self._spawn(running.service)
                await self._ready(running)
            except (OSError, Unavailable) as error:
                self._log.warning("service %s did not come back: %s", running.service.name, error)

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_GRACE)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
