"""What all parts of the engine share: collaborators, the containers by id and name, the database."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from moby_components.engine.moby.db import Database
from moby_components.engine.moby.dirs import Layout
from moby_components.engine.moby.entry import Entry, Exec
from moby_components.engine.moby.events import EventBus
from moby_components.engine.moby.networking.naming import Naming
from moby_components.engine.moby.networking.networks import Networks
from moby_components.engine.moby.records import Record
from moby_components.engine.moby.rendering.logconfig import LogPlan, log_plan
from moby_components.engine.moby.states import Request
from moby_components.engine.moby.unsaved import Unsaved
from moby_py.component import Context
from moby_py.errors import InvalidArgument, MobyError, NotFound
from moby_py.kinds import ImageStore, Runtime, Secrets

if TYPE_CHECKING:
    from moby_components.common.dns import Resolver


class Core:
    """Opened by the engine; the parts read and change it. One event loop, no threads."""

    def __init__(self, context: Context, resolver: Resolver | None = None) -> None:
        self.context = context
        self.log: logging.Logger = context.log
        self.layout = Layout.of(context.dirs)
        self.layout.make()
        self.db = Database(self.layout.database)
        self.events = EventBus(self.db, context.hooks, self.log)
        self.unsaved = Unsaved(self.log)
        self.entries: dict[str, Entry] = {}
        self.names: dict[str, str] = {}
        self.execs: dict[str, tuple[Entry, Exec]] = {}
        self.networks = Networks(context, self.db, self._idle)
        self.naming = Naming(self.networks, resolver)
        self.closing = False
        """The platform goes down: nothing is restarted any more."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._here: dict[str, frozenset[str]] = {}

    # -- collaborators ---------------------------------------------------------------------------

    @property
    def store(self) -> ImageStore:
        return self.context.wiring[ImageStore]

    @property
    def runtimes(self) -> dict[str, Runtime]:
        return dict(self.context.wiring.all(Runtime))

    @property
    def secrets(self) -> Secrets | None:
        return next(iter(self.context.wiring.all(Secrets).values()), None)

    def runtime_wanted(self, record: Record) -> tuple[str, Runtime]:
        """The runtime that the intent names, else the default. Raises InvalidArgument."""
        runtimes = self.runtimes
        name = str(record.host.get("Runtime") or "") or next(iter(runtimes))
        if name not in runtimes:
            raise InvalidArgument(
                f"unknown or invalid runtime name: {name}", hint=f"this platform has {', '.join(runtimes)}"
            )
        return name, runtimes[name]

    async def features_here(self, id: str, runtime: Runtime) -> frozenset[str]:
        """What a runtime can do on this host: of its features, those that its fingerprint confirms.

        A fingerprint without any says nothing about them; one that fails is told by `info` and `start`.
        """
        if id not in self._here:
            try:
                found = (await runtime.fingerprint()).features
            except MobyError:
                return runtime.features
            self._here[id] = runtime.features & found if found else runtime.features
        return self._here[id]

    def runtime_of(self, record: Record) -> Runtime:
        """The runtime that holds a live container."""
        found = self.runtimes.get(record.runtime)
        if found is None:
            raise NotFound(f"runtime {record.runtime!r} is no longer part of this platform")
        return found

    def log_plan(self, record: Record) -> LogPlan:
        options = self.context.options
        return log_plan(
            record.host,
            driver=options.get("log_driver") or "json-file",
            options=options.get("log_options") or {},
        )

    # -- containers ------------------------------------------------------------------------------

    def get(self, ref: str) -> Entry:
        """By id, name, or unambiguous prefix of the id. Raises NotFound "No such container: REF"."""
        bare = ref.removeprefix("/")
        entry = self.entries.get(bare) or self.entries.get(self.names.get(bare, ""))
        if entry is None and bare:
            found = [id for id in self.entries if id.startswith(bare)]
            if len(found) > 1:
                raise InvalidArgument(
                    f"multiple IDs found with provided prefix: {ref}", hint="give more digits"
                )
            entry = self.entries[found[0]] if found else None
        if entry is None:
            raise NotFound(f"No such container: {ref}")
        return entry

    @asynccontextmanager
    async def locked(self, ref: str, request: Request | None = None) -> AsyncIterator[Entry]:
        """The container with its lock held, after the table's answer to `request`."""
        entry = self.get(ref)
        async with entry.lock:
            if entry.gone:
                raise NotFound(f"No such container: {ref}")
            if request is not None:
                entry.check(request)
            yield entry

    def add(self, record: Record) -> Entry:
        entry = Entry(record)
        self.entries[record.id] = entry
        self.names[record.name] = record.id
        return entry

    def _idle(self, id: str) -> bool:
        """Whether a container does not run: the addresses it had may be given to another."""
        entry = self.entries.get(id)
        return entry is None or not (entry.record.active or entry.record.starting)

    def drop(self, entry: Entry) -> None:
        """Forget it in memory; `forget` also drops the row."""
        entry.gone = True
        self.entries.pop(entry.id, None)
        if self.names.get(entry.record.name) == entry.id:
            del self.names[entry.record.name]
        for id in entry.execs:
            self.execs.pop(id, None)

    def save(self, entry: Entry) -> None:
        """Write down where its life stands; later, where the disk is full now."""
        if not entry.gone:
            self.unsaved.do(entry.id, partial(self.db.save, entry.record))

    def save_surely(self, entry: Entry) -> None:
        """The same before something new begins. Raises `Unavailable` where the disk is full."""
        with self.db.transaction():
            self.db.save(entry.record)

    def forget(self, entry: Entry) -> None:
        """Drop it from memory and from the database."""
        self.unsaved.do(entry.id, partial(self.db.forget, entry.id))
        self.drop(entry)

    def happened(self, entry: Entry, action: str, **attributes: str) -> None:
        """An event of a container."""
        self.events.emit("container", action, entry.id, {**entry.record.attributes(), **attributes})

    # -- tasks -----------------------------------------------------------------------------------

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """A background task that is kept, logged when it fails, and cancelled at close."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.log.error("%s failed", task.get_name(), exc_info=task.exception())

    async def close(self) -> None:
        """Containers keep running; nobody watches them any more."""
        self.closing = True
        self.events.close()
        for entry in self.entries.values():
            for pending in list(entry.pending):
                pending.fail()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.unsaved.close()
        self.db.close()
