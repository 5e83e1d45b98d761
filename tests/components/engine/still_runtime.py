"""A runtime whose containers are entries in a dictionary: for tests of two hundred of them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from typing import Any, ClassVar

from engine_doubles import HostRuntime

from moby_py.errors import Conflict, NotFound
from moby_py.model import ContainerIO, ContainerSpec, ExitStatus, RootFS, Sandbox, TaskState


class StillRuntime(HostRuntime):
    """They live until they are killed, over any crash of the engine. Their process is this one."""

    name: ClassVar[str] = "still"
    features: ClassVar[frozenset[str]] = frozenset({"cgroups"})

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self.lives: dict[str, asyncio.Future[ExitStatus]] = {}

    async def create(
        self, spec: ContainerSpec, rootfs: RootFS, sandbox: Sandbox, io: ContainerIO
    ) -> TaskState:
        self.sandboxes[spec.id] = sandbox
        self.lives[spec.id] = asyncio.get_running_loop().create_future()
        return TaskState(id=spec.id, status="created", pid=os.getpid())

    async def start(self, container_id: str) -> TaskState:
        return await self.state(container_id)

    async def state(self, container_id: str) -> TaskState:
        life = self._life(container_id)
        over = life.result() if life.done() else None
        status = "stopped" if over else "running"
        return TaskState(id=container_id, status=status, pid=os.getpid(), exit=over)

    async def wait(self, container_id: str, exec_id: str | None = None) -> ExitStatus:
        return await asyncio.shield(self._life(container_id))

    async def kill(self, container_id: str, signal: int, *, everyone: bool = False) -> None:
        life = self._life(container_id)
        if life.done():
            raise Conflict("stopped")
        life.set_result(ExitStatus(code=128 + signal, at=time.time()))

    async def delete(self, container_id: str) -> None:
        self.lives.pop(container_id, None)

    async def recover(self) -> Sequence[TaskState]:
        return [await self.state(id) for id in self.lives]

    def _life(self, container_id: str) -> asyncio.Future[ExitStatus]:
        found = self.lives.get(container_id)
        if found is None:
            raise NotFound(container_id)
        return found
