"""The engine's memory: one SQLite file (WAL), one connection, used from the event loop's thread.

A commit takes 0.03 ms, so it is not worth a thread. `synchronous=NORMAL` survives a killed daemon;
what no runtime can be asked again after a power cut (a volume, a container's intent) is written
with FULL.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from moby_components.engine.moby.networking.leases import Lease
from moby_components.engine.moby.records import Record
from moby_py.errors import DataError, Unavailable
from moby_py.model import Event, Volume

VERSION = 2
KEPT_EVENTS = 4096
_PRUNE_EVERY = 256
_SCHEMA = """
CREATE TABLE containers (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_ns INTEGER NOT NULL,
    intent TEXT NOT NULL, state TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE volumes (
    name TEXT PRIMARY KEY, driver TEXT NOT NULL, created TEXT NOT NULL,
    labels TEXT NOT NULL, options TEXT NOT NULL, anonymous INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, time_nano INTEGER NOT NULL, type TEXT NOT NULL,
    action TEXT NOT NULL, actor TEXT NOT NULL, attributes TEXT NOT NULL);
CREATE INDEX events_by_time ON events (time_nano);
"""
_NETWORKS = """
CREATE TABLE networks (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, record TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE leases (
    number INTEGER PRIMARY KEY AUTOINCREMENT, network TEXT NOT NULL, address TEXT NOT NULL,
    version INTEGER NOT NULL, holder TEXT NOT NULL,
    UNIQUE (network, address), UNIQUE (network, version, holder));
"""
_STEPS = {0: _SCHEMA + _NETWORKS, 1: _NETWORKS}
"""What each schema version lacks."""


class Database:
    """Raises `DataError` when the file is no database of ours, `Unavailable` when a newer moby-py
    wrote it."""

    def __init__(self, path: Path) -> None:
        self._link = sqlite3.connect(path, isolation_level=None)
        try:
            path.chmod(0o600)
            self._link.execute("PRAGMA journal_mode=WAL")
            self._link.execute("PRAGMA synchronous=NORMAL")
            self._migrate(path)
        except sqlite3.DatabaseError as error:
            self._link.close()
            raise DataError(f"{path} is damaged - {error}", hint="restore it from a backup") from error
        except BaseException:
            self._link.close()
            raise

    def close(self) -> None:
        self._link.close()

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[None]:
        """All or nothing; `durable` also survives a power cut. Raises `Unavailable`: the disk is full."""
        if durable:
            self._link.execute("PRAGMA synchronous=FULL")
        try:
            self._link.execute("BEGIN IMMEDIATE")
            yield
            self._link.execute("COMMIT")
        except BaseException as error:
            if self._link.in_transaction:  # SQLite rolls back by itself when the disk is full
                self._link.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise Unavailable(
                    f"the engine cannot write to its database - {error}",
                    hint="make room on the file system of the platform's state",
                ) from error
            raise
        finally:
            if durable:
                self._link.execute("PRAGMA synchronous=NORMAL")

    # -- containers ------------------------------------------------------------------------------

    def containers(self) -> list[Record]:
        rows = self._link.execute(
            "SELECT id, name, created_ns, intent, state FROM containers ORDER BY created_ns"
        )
        return [
            Record(id=id, name=name, created_ns=created, intent=json.loads(intent), **json.loads(state))
            for id, name, created, intent, state in rows
        ]

    def add(self, record: Record) -> None:
        self._link.execute(
            "INSERT INTO containers VALUES (?, ?, ?, ?, ?)",
            (record.id, record.name, record.created_ns, _text(record.intent), _text(record.state())),
        )

    def save(self, record: Record) -> None:
        """Where its life stands, and its name."""
        self._link.execute(
            "UPDATE containers SET name = ?, state = ? WHERE id = ?",
            (record.name, _text(record.state()), record.id),
        )

    def save_intent(self, record: Record) -> None:
        self._link.execute("UPDATE containers SET intent = ? WHERE id = ?", (_text(record.intent), record.id))

    def forget(self, id: str) -> None:
        self._link.execute("DELETE FROM containers WHERE id = ?", (id,))

    # -- volumes ---------------------------------------------------------------------------------

    def volumes(self) -> list[Volume]:
        """All, by name; where each lies only its driver knows."""
        rows = self._link.execute("SELECT * FROM volumes ORDER BY name")
        return [
            Volume(
                name=name,
                driver=driver,
                mountpoint="",
                created=created,
                labels=json.loads(labels),
                options=json.loads(options),
                anonymous=bool(anonymous),
            )
            for name, driver, created, labels, options, anonymous in rows
        ]

    def add_volume(self, volume: Volume) -> None:
        self._link.execute(
            "INSERT INTO volumes VALUES (?, ?, ?, ?, ?, ?)",
            (
                volume.name,
                volume.driver,
                volume.created,
                _text(volume.labels),
                _text(volume.options),
                int(volume.anonymous),
            ),
        )

    def forget_volume(self, name: str) -> None:
        self._link.execute("DELETE FROM volumes WHERE name = ?", (name,))

    # -- networks --------------------------------------------------------------------------------

    def networks(self) -> list[dict[str, Any]]:
        """The records as they were saved, by name."""
        rows = self._link.execute("SELECT record FROM networks ORDER BY name")
        return [json.loads(record) for (record,) in rows]

    def save_network(self, id: str, name: str, record: Mapping[str, Any]) -> None:
        self._link.execute(
            "INSERT INTO networks VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record",
            (id, name, _text(record)),
        )

    def forget_network(self, id: str) -> None:
        self._link.execute("DELETE FROM networks WHERE id = ?", (id,))
        self._link.execute("DELETE FROM leases WHERE network = ?", (id,))

    def leases(self) -> list[Lease]:
        """All, in the order they were given out."""
        rows = self._link.execute("SELECT network, address, holder, version FROM leases ORDER BY number")
        return [Lease(*row) for row in rows]

    def change_leases(self, added: Sequence[Lease], removed: Sequence[Lease]) -> None:
        for lease in removed:
            self._link.execute(
                "DELETE FROM leases WHERE network = ? AND address = ?", (lease.network_id, lease.address)
            )
        for lease in added:
            self._link.execute(
                "INSERT INTO leases (network, address, version, holder) VALUES (?, ?, ?, ?)",
                (lease.network_id, lease.address, lease.version, lease.holder),
            )

    def forget_leases(self, holder: str, network: str = "") -> None:
        """A holder's, of all networks or of one."""
        where, of = ("AND network = ?", (network,)) if network else ("", ())
        self._link.execute(f"DELETE FROM leases WHERE holder = ? {where}", (holder, *of))  # noqa: S608

    # -- events ----------------------------------------------------------------------------------

    def add_event(
        self, time_nano: int, type: str, action: str, actor: str, attributes: Mapping[str, str]
    ) -> int:
        """Record it in the ring; returns its number."""
        cursor = self._link.execute(
            "INSERT INTO events (time_nano, type, action, actor, attributes) VALUES (?, ?, ?, ?, ?)",
            (time_nano, type, action, actor, _text(attributes)),
        )
        number = cursor.lastrowid or 0
        if number % _PRUNE_EVERY == 0:
            self._link.execute("DELETE FROM events WHERE id <= ?", (number - KEPT_EVENTS,))
        return number

    def events(self, since_ns: int, until_ns: int) -> list[Event]:
        rows = self._link.execute(
            "SELECT id, time_nano, type, action, actor, attributes FROM events "
            "WHERE time_nano >= ? AND time_nano <= ? ORDER BY id",
            (since_ns, until_ns or (1 << 63) - 1),
        )
        return [
            Event(
                id=id, time_nano=at, type=type, action=action, actor=actor, attributes=json.loads(attributes)
            )
            for id, at, type, action, actor, attributes in rows
        ]

    def _migrate(self, path: Path) -> None:
        (found,) = self._link.execute("PRAGMA user_version").fetchone()
        if found in _STEPS:
            self._link.executescript(f"BEGIN; {_STEPS[found]} PRAGMA user_version = {VERSION}; COMMIT;")
        elif found != VERSION:
            raise Unavailable(
                f"{path} has schema version {found} - this moby-py knows up to {VERSION}",
                hint="start it with the moby-py that wrote it, or a newer one",
            )


def _text(value: Mapping[str, Any] | Sequence[Any]) -> str:
    return json.dumps(value, separators=(",", ":"))
