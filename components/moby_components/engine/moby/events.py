"""What happened: recorded in a ring, told to listeners in order, offered to plugins."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from moby_components.engine.moby.clock import ROUNDING, now_ns
from moby_components.engine.moby.db import Database
from moby_py.component import Hooks
from moby_py.errors import InvalidArgument, Unavailable
from moby_py.model import Event

Filters = Mapping[str, Sequence[str]]
_KEYS = "config container daemon event image label network node plugin scope secret service type volume"
KNOWN_FILTERS = frozenset(_KEYS.split())
_FOREVER = (1 << 63) - 1
_UNRECORDED = 1 << 62
"""The number of an event that is not in the ring: above all that are, so that listeners take it."""
MOST_UNREAD = 10_000
"""A listener that falls this far behind is let go: its memory is ours."""


@dataclass(eq=False)
class _Listener:
    queue: deque[Event] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    lost: bool = False


class EventBus:
    """`emit` is synchronous and cheap; listeners read at their own pace."""

    def __init__(self, db: Database, hooks: Hooks, log: logging.Logger) -> None:
        self._db = db
        self._log = log
        self._full = False
        self._hooks = hooks
        self._listeners: set[_Listener] = set()
        self._last = 0
        self._closed = False

    def emit(self, type: str, action: str, actor: str, attributes: Mapping[str, str]) -> Event:
        """Record it, tell listeners and plugins. Times never run backwards within one daemon.

        What cannot be recorded (a full disk) is told all the same.
        """
        self._last = max(now_ns(), self._last + 1)
        number = self._record(type, action, actor, attributes)
        event = Event(
            id=number,
            time_nano=self._last,
            type=type,
            action=action,
            actor=actor,
            attributes=dict(attributes),
        )
        for listener in self._listeners:
            if len(listener.queue) >= MOST_UNREAD:
                listener.lost = True
            else:
                listener.queue.append(event)
            listener.wake.set()
        self._hooks.event(event)
        return event

    def _record(self, type: str, action: str, actor: str, attributes: Mapping[str, str]) -> int:
        try:
            number = self._db.add_event(self._last, type, action, actor, attributes)
        except sqlite3.OperationalError as error:
            if not self._full:
                self._log.warning("events are not recorded for now - %s", error)
            self._full = True
            return _UNRECORDED
        self._full = False
        return number

    async def listen(self, since: float, until: float, filters: Filters) -> AsyncIterator[Event]:
        """Past events (only where `since` or `until` asks for them), then live ones."""
        for key in filters:
            if key not in KNOWN_FILTERS:
                raise InvalidArgument(f"invalid filter '{key}'")
        listener = _Listener()
        self._listeners.add(listener)
        try:
            seen = 0
            until_ns = min(int(until * 1e9) + ROUNDING, _FOREVER) if until else 0
            if since or until:
                since_ns = min(max(0, int(since * 1e9) - ROUNDING), _FOREVER)
                for event in self._db.events(since_ns, until_ns):
                    seen = event.id
                    if matches(event, filters):
                        yield event
            while not self._closed:
                while listener.queue:
                    event = listener.queue.popleft()
                    if until_ns and event.time_nano > until_ns:
                        return
                    if event.id > seen and matches(event, filters):
                        yield event
                if listener.lost:
                    raise Unavailable(
                        f"events were not read fast enough - more than {MOST_UNREAD} are waiting",
                        hint="ask again with since=",
                    )
                listener.wake.clear()
                try:
                    async with asyncio.timeout(until - now_ns() / 1e9 if until else None):
                        await listener.wake.wait()
                except TimeoutError:
                    return
        finally:
            self._listeners.discard(listener)

    def close(self) -> None:
        """End every listener's stream."""
        self._closed = True
        for listener in self._listeners:
            listener.wake.set()


def matches(event: Event, filters: Filters) -> bool:
    """Docker's rule: of each key any value (of labels every one), and of all keys each."""
    return all(
        (all if key == "label" else any)(_one(event, key, value) for value in values)
        for key, values in filters.items()
        if values
    )


def _one(event: Event, key: str, value: str) -> bool:
    if key == "event":
        return value in (event.action, event.action.partition(":")[0])
    if key == "type":
        return event.type == value
    if key == "label":
        name, has_value, wanted = value.partition("=")
        return name in event.attributes and (not has_value or event.attributes[name] == wanted)
    if key == "scope":
        return value == "local"
    if key == "image":
        names = [event.actor, event.attributes.get("name", "")] if event.type == "image" else []
        names.append(event.attributes.get("image", "") if event.type == "container" else "")
        return any(name and value in (name, name.rpartition(":")[0]) for name in names)
    if event.type != key:
        return False
    name = event.attributes.get("name", "")
    return event.actor.startswith(value) or name.startswith(value.removeprefix("/"))
