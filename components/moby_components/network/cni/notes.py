"""What was added, kept for DEL: one private file per container and network.

libcni's cache in all but place: the configuration as the plugins got it, and the result. The note is
written before ADD and after each plugin of the chain, so that what a crash or a failure interrupts is
taken down with all that is known of it (the firewall plugin finds its rules by the result only).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from moby_components.network.cni.plugin import Place

KIND = "moby-py/cni-note/1"
LARGEST = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """`config` with its runtimeConfig; `result` of the last plugin that was added, None before the
    first; `done` once all were."""

    container_id: str
    network_id: str
    netns: str
    interface: str
    config: Mapping[str, Any]
    result: dict[str, Any] | None = None
    done: bool = False
    kind: str = field(default=KIND)

    @property
    def place(self) -> Place:
        return Place(self.container_id, self.netns, self.interface)


class Notes:
    """All methods are small file operations, done at once - but `settled`.

    While an ADD is under way its note is locked, and the plugins inherit the lock: a daemon that comes
    after a killed one waits for the plugins that still run before it takes their work down.
    """

    def __init__(self, folder: Path, patience: float) -> None:
        self._folder = folder
        self._patience = patience

    @contextlib.contextmanager
    def begun(self, note: Note) -> Iterator[int]:
        """Write the note before ADD; the descriptor of the lock, for the plugins. Raises OSError."""
        self.save(note)
        fd = os.open(self._lock(note), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield fd
        finally:
            os.close(fd)

    async def settled(self, note: Note) -> None:
        """Return when no plugin works for this note any more, at the latest after the time that one
        is given."""
        try:
            fd = os.open(self._lock(note), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await self._wait(fd)
        else:
            os.close(fd)

    async def _wait(self, fd: int) -> None:
        loop = asyncio.get_running_loop()
        free = asyncio.Event()

        def block() -> None:
            with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: the loop is closed
                fcntl.flock(fd, fcntl.LOCK_EX)
                os.close(fd)
                loop.call_soon_threadsafe(free.set)

        # A thread of its own, and no part of the interpreter's end: a plugin may hang for ever.
        threading.Thread(target=block, name="cni-note", daemon=True).start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                await free.wait()

    def _lock(self, note: Note) -> Path:
        return self._path(note.container_id, note.network_id).with_suffix(".lock")

    def save(self, note: Note) -> None:
        """Atomically, mode 0600. Raises OSError."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self._path(note.container_id, note.network_id)
        part = path.with_suffix(".part")
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump(asdict(note), file)
        part.replace(path)

    def load(self, container_id: str, network_id: str) -> Note | None:
        """None where there is none, or one that a crash of the host left unreadable."""
        return self._read(self._path(container_id, network_id))

    def remove(self, container_id: str, network_id: str) -> None:
        path = self._path(container_id, network_id)
        path.unlink(missing_ok=True)
        path.with_suffix(".lock").unlink(missing_ok=True)

    def all(self) -> list[Note]:
        """Every readable note, in the order of their names; half-written ones are swept away."""
        if not self._folder.is_dir():
            return []
        for part in self._folder.glob("*.part"):
            part.unlink(missing_ok=True)
        found = (self._read(path) for path in sorted(self._folder.glob("*.json")))
        return [note for note in found if note is not None]

    def _read(self, path: Path) -> Note | None:
        try:
            with path.open("rb") as file:
                data = json.loads(file.read(LARGEST))
            return Note(**data) if data["kind"] == KIND else None
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None

    def _path(self, container_id: str, network_id: str) -> Path:
        return self._folder / f"{_plain(container_id)}.{_plain(network_id)}.json"


def _plain(id: str) -> str:
    """Ids are hexadecimal; anything else does not get into a path."""
    return id if re.fullmatch("[0-9a-f]{1,64}", id) else hashlib.sha256(id.encode()).hexdigest()
