"""Where the files of one process are, and the two kinds of them that clients read and write."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moby_components.common.monitor.identity import Identity

_SMALL = 4096


def read_number(path: Path) -> int | None:
    """The decimal number in a small file; None when it is missing or not written to the end."""
    try:
        with path.open("rb") as file:
            text = file.read(_SMALL).strip()
    except FileNotFoundError:
        return None
    try:
        return int(text)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class TaskDir:
    """The directory of one process. `name` is the exit file's: the container id."""

    path: Path
    name: str

    @property
    def pidfile(self) -> Path:
        return self.path / "pidfile"

    @property
    def monitor_pidfile(self) -> Path:
        return self.path / "conmon.pid"

    @property
    def exit_dir(self) -> Path:
        return self.path / "exit"

    @property
    def exit_file(self) -> Path:
        return self.path / "exit" / self.name

    @property
    def oom(self) -> Path:
        return self.path / "oom"

    @property
    def ctl(self) -> Path:
        return self.path / "ctl"

    @property
    def record(self) -> Path:
        return self.path / "task.json"

    @property
    def execs(self) -> Path:
        return self.path / "exec"

    def exec(self, exec_id: str) -> TaskDir:
        """The directory of an exec of this container."""
        return TaskDir(self.execs / exec_id, self.name)

    def make(self) -> None:
        """Make it, private, with its exit directory. Raises `FileExistsError`."""
        self.path.mkdir(mode=0o700)
        self.exit_dir.mkdir(mode=0o700)

    def discard(self) -> None:
        """Remove it with all that is in it. Idempotent; the process must have ended."""
        shutil.rmtree(self.path, ignore_errors=True)

    def identities(self) -> tuple[Identity | None, Identity | None]:
        """(monitor, process) as the pid files name them now; None: no file, or nobody there."""
        found = []
        for file in (self.monitor_pidfile, self.pidfile):
            pid = read_number(file)
            found.append(Identity.of(pid) if pid else None)
        return found[0], found[1]

    def commit(self, *, stdin: bool = False, tty: bool = False, **more: Any) -> None:
        """Mark the process as completely made: write task.json, last and at once.

        `more` is kept as it is (JSON values) for the runtime that made it; `read` gives it back.
        """
        monitor, process = self.identities()
        record = {
            "monitor": [monitor.pid, monitor.started] if monitor else None,
            "process": [process.pid, process.started] if process else None,
            "stdin": stdin,
            "tty": tty,
            **more,
        }
        new = self.path / "task.json.new"
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as file:
            json.dump(record, file)
        new.rename(self.record)

    def read(self) -> Mapping[str, Any] | None:
        """What `commit` wrote; None when the process is half-made."""
        try:
            with self.record.open("rb") as file:
                record: Any = json.loads(file.read(1 << 20))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return record if isinstance(record, dict) else None
