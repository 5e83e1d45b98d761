"""What must be known to undo things at a plugin, as small files: one for each network and endpoint.

The engine keeps networks and endpoints; only the ids of address pools, the name an interface had before
it went into a container, and endpoints that a crash left half-made are nowhere else. Plugins keep their
state over a reboot, so these files do too.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path
from typing import Any

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


class Records:
    """JSON objects by id in one directory, mode 0600, each replaced as a whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)

    def put(self, id: str, value: dict[str, Any]) -> None:
        path = self._path(id)
        new = path.with_suffix(".new")
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(json.dumps(value).encode())
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)

    def get(self, id: str) -> dict[str, Any] | None:
        with contextlib.suppress(FileNotFoundError, ValueError):
            value = json.loads(self._path(id).read_bytes())
            return value if isinstance(value, dict) else None
        return None

    def drop(self, id: str) -> None:
        self._path(id).unlink(missing_ok=True)

    def all(self) -> dict[str, dict[str, Any]]:
        found = {}
        for path in sorted(self._folder.glob("*.json")):
            value = self.get(path.stem)
            if value is not None:
                found[path.stem] = value
        return found

    def _path(self, id: str) -> Path:
        if not _ID.fullmatch(id):
            raise ValueError(f"not an id: {id!r}")
        return self._folder / f"{id}.json"
