"""Which new volumes are being filled. One that is named here and has no row was cut short by a kill.

STATE/filling/SHA256-OF-NAME.json
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

from moby_py.model import Volume


class Journal:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, volume: Volume) -> None:
        """Before its driver hears of it. Raises OSError: the disk is full."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self._path(volume)
        with path.open("w", encoding="utf-8") as file:
            json.dump(asdict(volume), file)
            file.flush()
            os.fsync(file.fileno())

    def end(self, volume: Volume) -> None:
        """It has its row, or nothing of it is left."""
        self._path(volume).unlink(missing_ok=True)

    def left(self) -> list[Volume]:
        """What a kill cut short. A note that was itself cut short tells of nothing that was begun."""
        found = []
        for path in self._folder.glob("*.json"):
            try:
                found.append(Volume(**json.loads(path.read_text(encoding="utf-8"))))
            except (ValueError, TypeError):
                path.unlink()
        return found

    def _path(self, volume: Volume) -> Path:
        return self._folder / f"{hashlib.sha256(volume.name.encode()).hexdigest()}.json"
