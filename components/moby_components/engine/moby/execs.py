"""Further processes in a running container."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from moby_components.engine.moby.core import Core
from moby_components.engine.moby.entry import Entry, Exec
from moby_components.engine.moby.names import new_id
from moby_components.engine.moby.rendering.check import lacks
from moby_components.engine.moby.rendering.process import exec_process
from moby_components.engine.moby.rendering.shape import check_shape
from moby_components.engine.moby.rendering.spec import main_process
from moby_components.engine.moby.rendering.text import refuse_nul
from moby_components.engine.moby.streams.views import View
from moby_py.errors import Conflict, MobyError, NotFound
from moby_py.model import AttachOptions, ContainerIO, ExecInstance, Streams

REMEMBERED = 300.0
"""Seconds for which an ended exec can still be inspected."""


class Execs:
    """Kept in memory: an exec belongs to a client's connection, and those do not survive the daemon."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def create(self, ref: str, body: Mapping[str, Any]) -> str:
        async with self._core.locked(ref, "exec") as entry:
            runtime = self._core.runtime_of(entry.record)
            if "exec" not in runtime.features:
                raise lacks(entry.record.runtime, "exec", "exec")
            if body.get("Tty") and "tty" not in runtime.features:
                raise lacks(entry.record.runtime, "a terminal", "tty")
            check_shape(body)
            refuse_nul(body)
            process = exec_process(body, main_process(entry.record))
            self._forget_old(entry)
            id = new_id()
            instance = ExecInstance(
                id=id, container_id=entry.id, running=False, exit_code=None, pid=0, config=dict(body)
            )
            made = Exec(instance, dict(body))
            entry.execs[id] = made
            self._core.execs[id] = (entry, made)
            self._core.happened(entry, f"exec_create: {' '.join(process.args)}", execID=id)
            return id

    def inspect(self, id: str) -> ExecInstance:
        return self._get(id)[1].instance

    async def start(self, id: str, *, detach: bool, tty: bool) -> Streams | None:
        """With `detach` no streams. Raises Conflict for one that ran, RuntimeFailed."""
        entry, made = self._get(id)
        async with self._core.locked(entry.id, "exec"):
            if made.instance.running:
                raise Conflict(f"Error: Exec command {id} is already running")
            if made.instance.exit_code is not None:
                raise Conflict(f"Error: Exec command {id} has already run")
            process = exec_process(made.body, main_process(entry.record))
            runtime = self._core.runtime_of(entry.record)
            stdin = bool(made.body.get("AttachStdin"))
            io = ContainerIO(log=None, stdin=stdin, stdin_once=stdin, tty=process.tty)
            self._core.happened(entry, f"exec_start: {' '.join(process.args)}", execID=id)
            made.instance = replace(made.instance, running=True)
            try:
                streams = await runtime.exec(entry.id, id, process, io, attach=not detach)
            except MobyError as error:
                from moby_components.engine.moby.lifecycle.start import exit_code_of

                self._ended(entry, made, exit_code_of(error))
                raise
            made.instance = replace(made.instance, pid=await runtime.exec_pid(entry.id, id))
            made.task = self._core.spawn(self._wait(entry, made), f"wait for exec {id[:12]}")
        if streams is None or detach:
            return None
        wanted = AttachOptions(
            stdin=stdin,
            stdout=bool(made.body.get("AttachStdout", True)) or process.tty,
            stderr=bool(made.body.get("AttachStderr", True)),
        )
        return View(streams, wanted, until=made.task)

    async def resize(self, id: str, height: int, width: int) -> None:
        entry, made = self._get(id)
        if not made.instance.running:
            raise Conflict(f"exec {id} is not running")
        await self._core.runtime_of(entry.record).resize(entry.id, height, width, id)

    async def _wait(self, entry: Entry, made: Exec) -> None:
        try:
            status = await self._core.runtime_of(entry.record).wait(entry.id, made.instance.id)
        except NotFound:
            self._ended(entry, made, 255)
            return
        self._ended(entry, made, status.code)

    def _ended(self, entry: Entry, made: Exec, code: int) -> None:
        made.instance = replace(made.instance, running=False, exit_code=code)
        made.ended_at = time.monotonic()
        self._core.happened(entry, "exec_die", execID=made.instance.id, exitCode=str(code))

    def _get(self, id: str) -> tuple[Entry, Exec]:
        found = self._core.execs.get(id)
        if found is None:
            raise NotFound(f"No such exec instance: {id}")
        return found

    def _forget_old(self, entry: Entry) -> None:
        now = time.monotonic()
        for id, made in list(entry.execs.items()):
            if made.ended_at and now - made.ended_at > REMEMBERED:
                del entry.execs[id]
                self._core.execs.pop(id, None)
