"""What netavark was told for each endpoint, so that it can be told the opposite.

netavark keeps nothing about containers: a teardown wants the setup's exact input, subnets and ports
included. Each input is a file in the run directory, written before the setup and removed after the
teardown. So whatever a crash leaves behind is in the journal, and a reboot, which takes the rules and
the interfaces, takes the journal too.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_NAME = re.compile(r"[0-9A-Za-z_.-]{1,80}--[0-9A-Za-z_.-]{1,80}\.json")


@dataclass(frozen=True, slots=True)
class Entry:
    """One endpoint: the input of its setup, and the namespace file it was for."""

    container_id: str
    network_id: str
    sandbox: str
    input: dict[str, Any]

    @property
    def info(self) -> dict[str, Any]:
        """netavark's view of the network."""
        return dict(self.input["network_info"][self.network_id])

    @property
    def bridge(self) -> str:
        return str(self.info.get("network_interface") or "") if self.info["driver"] == "bridge" else ""

    @property
    def interface(self) -> str:
        return str(self.input["networks"][self.network_id]["interface_name"])

    @property
    def named(self) -> bool:
        """Whether aardvark serves its name."""
        return bool(self.info["dns_enabled"])


class Journal:
    """Files `CONTAINER--NETWORK.json` in one directory, mode 0600, replaced as a whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)

    def write(self, entry: Entry) -> None:
        path = self._path(entry.container_id, entry.network_id)
        new = path.with_suffix(".new")
        body = json.dumps({"sandbox": entry.sandbox, "input": entry.input}).encode()
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(body)
        new.replace(path)

    def read(self, container_id: str, network_id: str) -> Entry | None:
        """The entry, or None where there is none (or a crash left half of one)."""
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
            data = json.loads(self._path(container_id, network_id).read_bytes())
            entry = Entry(container_id, network_id, data["sandbox"], data["input"])
            _ = entry.interface, entry.named
            return entry
        return None

    def remove(self, container_id: str, network_id: str) -> None:
        self._path(container_id, network_id).unlink(missing_ok=True)

    def entries(self) -> list[Entry]:
        """All of them, in the order of their names."""
        found = []
        for path in sorted(self._folder.iterdir()):
            if _NAME.fullmatch(path.name):
                container, _, network = path.name.removesuffix(".json").partition("--")
                entry = self.read(container, network)
                if entry is not None:
                    found.append(entry)
        return found

    def _path(self, container_id: str, network_id: str) -> Path:
        name = f"{container_id}--{network_id}.json"
        if not _NAME.fullmatch(name):
            raise ValueError(f"not an endpoint: {name}")
        return self._folder / name
