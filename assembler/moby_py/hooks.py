"""Calls plugin hooks so that no plugin can take the platform down.

Each implementation is called on its own, in a thread of its own, with a time limit. One that raises,
hangs or answers with the wrong type is named with its distribution and passed over; after three
failures it is not asked again until the next start. `container_spec` alone may stop something, by
raising `Veto`. Events are handed over in order, off the daemon's own path, through a bounded queue
per implementation: a slow listener loses events, the daemon does not wait.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import queue
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moby_py.veto import Veto

if TYPE_CHECKING:
    from moby_py.model import ContainerSpec, Event
    from moby_py.registry import Registry

log = logging.getLogger("moby_py.hooks")

LIMIT = 5.0
"""Seconds that one call may take."""
FAILURES = 3
EVENTS_WAITING = 1000
DRAIN = 1.0
"""Seconds that `close` gives listeners for the events still waiting."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    value: Any
    error: BaseException | None = None


@dataclass(eq=False)
class _Implementation:
    """One plugin's function for one hook."""

    hook: str
    plugin: str
    function: Callable[..., Any]
    arguments: tuple[str, ...]
    failures: int = 0

    @property
    def quarantined(self) -> bool:
        return self.failures >= FAILURES

    def start(self, values: Mapping[str, Any]) -> Future[_Outcome]:
        """Run it in a new daemon thread. A thread that hangs is left behind: it cannot be killed."""
        future: Future[_Outcome] = Future()
        future.set_running_or_notify_cancel()

        def work() -> None:
            try:
                outcome = _Outcome(self.function(*[values[name] for name in self.arguments]))
            except BaseException as error:  # sys.exit and CancelledError too: they are the plugin's
                outcome = _Outcome(None, error)
            future.set_result(outcome)

        threading.Thread(target=work, name=f"hook-{self.hook}", daemon=True).start()
        return future


class HookDispatcher:
    """The hooks of every plugin that the registry has loaded (`moby_py.component.Hooks`).

    Make it after the components are loaded. `report` takes one line for each failure; default: the
    log. Thread-safe.
    """

    def __init__(
        self, registry: Registry, *, limit: float = LIMIT, report: Callable[[str], None] | None = None
    ) -> None:
        registry.entries()  # plugin files are loaded now at the latest
        self._limit = limit
        self._report = report or log.warning
        self._lock = threading.Lock()
        self._by_hook = {
            hook: [
                _Implementation(
                    hook,
                    f"{plugin.module_name} (from {plugin.origin})",
                    implementation.function,
                    tuple(implementation.argnames),
                )
                for plugin, implementation in registry.plugins.implementations(hook)
            ]
            for hook in ("before_build", "after_build", "container_spec", "event")
        }
        self._listeners: list[_Listener] = []

    # -- while a platform is built ------------------------------------------------------------------

    def before_build(self, blueprint: Mapping[str, Any]) -> None:
        """Each implementation gets a copy of its own: the blueprint cannot be changed any more."""
        for implementation in self._by_hook["before_build"]:
            self._call(implementation, {"blueprint": copy.deepcopy(dict(blueprint))})

    def after_build(self, directory: Path) -> None:
        for implementation in self._by_hook["after_build"]:
            self._call(implementation, {"directory": directory})

    # -- while it runs ------------------------------------------------------------------------------

    async def container_spec(self, spec: ContainerSpec) -> ContainerSpec:
        """The spec after every plugin has seen it. Raises Veto; nothing else that a plugin does."""
        import asyncio  # a build, which makes a dispatcher too, has no use for it

        for implementation in self._by_hook["container_spec"]:
            if implementation.quarantined:
                continue
            future = asyncio.wrap_future(implementation.start({"spec": spec}))
            done, _ = await asyncio.wait({future}, timeout=self._limit)
            if not done:
                future.cancel()
                self._failed(implementation, f"did not return within {self._limit:g} s")
                continue
            outcome = future.result()
            if isinstance(outcome.error, Veto):
                raise outcome.error
            if outcome.error is not None:
                self._failed(implementation, _raised(outcome.error))
            else:
                spec = self._accept(implementation, spec, outcome.value)
        return spec

    def event(self, event: Event) -> None:
        """Hand an event to every listener. Returns at once."""
        implementations = self._by_hook["event"]
        if implementations and not self._listeners:
            self._listeners = [_Listener(self, implementation) for implementation in implementations]
        for listener in self._listeners:
            listener.put(event)

    def close(self) -> None:
        """Let listeners finish what waits, for a second at most. Idempotent."""
        listeners, self._listeners = self._listeners, []
        self._by_hook["event"] = []
        for listener in listeners:
            listener.end()
        for listener in listeners:
            listener.thread.join(DRAIN)

    # -- containing failures ------------------------------------------------------------------------

    def _call(self, implementation: _Implementation, values: Mapping[str, Any]) -> None:
        if implementation.quarantined:
            return
        try:
            outcome = implementation.start(values).result(self._limit)
        except TimeoutError:
            self._failed(implementation, f"did not return within {self._limit:g} s")
            return
        if outcome.error is not None:
            self._failed(implementation, _raised(outcome.error))

    def _accept(self, implementation: _Implementation, spec: ContainerSpec, changed: object) -> ContainerSpec:
        from moby_py.model import ContainerSpec

        if changed is None:
            return spec
        if not isinstance(changed, ContainerSpec):
            self._failed(
                implementation,
                f"returned a value of type {type(changed).__name__} where a ContainerSpec or None belongs",
            )
            if isinstance(changed, Coroutine):
                changed.close()  # or Python warns that nobody awaited it
            return spec
        if changed.id != spec.id:
            self._failed(implementation, "changed the container's id")
            return spec
        return changed

    def _failed(self, implementation: _Implementation, what: str) -> None:
        with self._lock:
            implementation.failures += 1
            last = implementation.failures == FAILURES
        text = f"plugin {implementation.plugin}: its hook {implementation.hook} {what} - it is passed over"
        if last:
            text += f", and after {FAILURES} failures not asked again until the next start"
        self._report(text)


class _Listener:
    """One `event` implementation, its queue, and the thread that empties it."""

    def __init__(self, dispatcher: HookDispatcher, implementation: _Implementation) -> None:
        self._dispatcher = dispatcher
        self._implementation = implementation
        self._queue: queue.Queue[Event | None] = queue.Queue(EVENTS_WAITING)
        self._lost = 0
        self._ending = False
        self.thread = threading.Thread(target=self._pump, name="hook-events", daemon=True)
        self.thread.start()

    def put(self, event: Event) -> None:
        if self._implementation.quarantined:
            return
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self._lost += 1
            if self._lost == 1:
                log.warning(
                    "plugin %s: its hook event is too slow - %d events wait, later ones are lost",
                    self._implementation.plugin,
                    EVENTS_WAITING,
                )

    def end(self) -> None:
        self._ending = True
        with contextlib.suppress(queue.Full):  # the pump looks at _ending after each event
            self._queue.put_nowait(None)

    def _pump(self) -> None:
        while (event := self._queue.get()) is not None and not self._implementation.quarantined:
            self._dispatcher._call(self._implementation, {"event": event})
            if self._ending and self._queue.full():
                return


def _raised(error: BaseException) -> str:
    text = " ".join(str(error).split())[:300]
    return f"raised {type(error).__name__}: {text}" if text else f"raised {type(error).__name__}"
