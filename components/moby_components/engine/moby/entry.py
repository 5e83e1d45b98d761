"""One container in the daemon's memory: its record, its lock, and who waits for what."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from moby_components.engine.moby import states
from moby_components.engine.moby.archives.views import Views
from moby_components.engine.moby.records import Record
from moby_components.engine.moby.restart import BackOff
from moby_components.engine.moby.streams.pending import PendingStreams
from moby_py.model import ExecInstance

Condition = Literal["not-running", "next-exit", "removed"]
Outcome = tuple[int, str]


@dataclass(slots=True, eq=False)
class Exec:
    """One exec of a container. `task` waits for its end."""

    instance: ExecInstance
    body: dict[str, Any]
    task: asyncio.Task[None] | None = None
    ended_at: float = 0.0


@dataclass(slots=True, eq=False)
class Entry:
    """`lock` is held by whatever changes this container; waiting for its end is done without it."""

    record: Record
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    back_off: BackOff = field(default_factory=BackOff)
    monitor: asyncio.Task[None] | None = None
    """Waits for the process's end."""
    restart: asyncio.Task[None] | None = None
    """Waits for the back-off's end."""
    removal: asyncio.Task[None] | None = None
    """The end of a container with --rm."""
    ooms: asyncio.Task[None] | None = None
    """Waits for its memory to end."""
    health: asyncio.Task[None] | None = None
    """Probes it, where it has a health check."""
    views: Views = field(default_factory=Views)
    """Copies of its files under way."""
    execs: dict[str, Exec] = field(default_factory=dict)
    pending: list[PendingStreams] = field(default_factory=list)
    """Clients that attached before the start."""
    ended: list[Callable[[], None]] = field(default_factory=list)
    """Called once when the present run has ended (log followers)."""
    keep: bool = False
    """A restart is under way: --rm waits."""
    gone: bool = False
    _waiters: list[tuple[Condition, asyncio.Future[Outcome]]] = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.record.id

    def check(self, request: states.Request) -> None:
        """Raise what the table says to this request in the present state."""
        states.check(self.record.status, request, id=self.record.id, name=self.record.name)

    def move(self, happening: states.Happening) -> None:
        self.record.status = states.after(self.record.status, happening)

    def waiter(self, condition: Condition) -> asyncio.Future[Outcome]:
        """A future of the outcome; registered when this returns."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        if condition == "not-running" and not self.record.active:
            future.set_result((self.record.exit_code, self.record.error))
        else:
            self._waiters.append((condition, future))
            future.add_done_callback(self._forget)
        return future

    def tell(self, *, removed: bool = False) -> None:
        """The run ended (or the container is gone): wake those who wait for it."""
        outcome = (self.record.exit_code, self.record.error)
        for condition, future in list(self._waiters):
            if (removed or condition != "removed") and not future.done():
                future.set_result(outcome)
        for call in self.ended:
            call()
        self.ended.clear()

    def forget_pending(self, streams: PendingStreams) -> None:
        """A client that waited for the start went away."""
        if streams in self.pending:
            self.pending.remove(streams)

    def _forget(self, future: asyncio.Future[Outcome]) -> None:
        self._waiters = [pair for pair in self._waiters if pair[1] is not future]
