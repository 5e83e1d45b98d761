"""RUN/services.json: which service processes are out there, for the daemon that comes after a killed one.

A process is recognised by pid and start time, so that a number that was given out again hits nobody.
The file is private to the daemon's user, replaced as a whole, and gone when the last service is.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

STOP_GRACE = 10.0
FILE = "services.json"


@dataclass(frozen=True, slots=True)
class Survivor:
    """One service process as written down. `name` is KIND/ID/SERVICE, `started` the boot's id and
    /proc/PID/stat's clock; another `argv` than would be started now is another service."""

    name: str
    pid: int
    started: str
    argv: tuple[str, ...]
    keep: bool

    def open(self) -> int | None:
        """A pidfd of it, or None when it is gone. The caller closes it."""
        try:
            handle = os.pidfd_open(self.pid)
        except OSError:
            return None
        # Asked after the pidfd was taken: from here on the number cannot change hands unnoticed.
        if started(self.pid) == self.started and not ended(handle):
            return handle
        os.close(handle)
        return None


def started(pid: int) -> str:
    """When a process began, "" where there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
    return f"{boot}:{stat.rpartition(')')[2].split()[19]}"


def ended(handle: int, timeout: float = 0) -> bool:
    """Whether the process of a pidfd has ended, after at most `timeout` seconds."""
    ready, _, _ = select.select([handle], [], [], timeout)
    return bool(ready)


def read(run: Path) -> dict[str, Survivor]:
    """By service name; {} where nothing was written down or it cannot be read as what it is."""
    try:
        data = json.loads((run / FILE).read_text(encoding="utf-8"))
        found = [
            Survivor(str(d["name"]), int(d["pid"]), str(d["started"]), tuple(d["argv"]), bool(d["keep"]))
            for d in data["services"]
        ]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}
    return {one.name: one for one in found}


def write(run: Path, services: Iterable[Survivor]) -> None:
    """Replace the file; without services, remove it."""
    path = run / FILE
    data = [asdict(one) for one in services]
    if not data:
        path.unlink(missing_ok=True)
        return
    partial = path.with_suffix(".new")
    partial.unlink(missing_ok=True)
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        json.dump({"services": data}, file)
    partial.rename(path)


def end_all(run: Path) -> list[str]:
    """End what a dead daemon left, the last started first, and forget it (`moby-py down`). Returns
    their names. Blocks: SIGTERM, after ten seconds SIGKILL. Does nothing while a daemon holds the lock,
    since they are its own then. Raises PermissionError for another user's platform."""
    if not (run / FILE).exists():
        return []
    lock = os.open(run / "daemon.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return []
        names = [one.name for one in reversed(read(run).values()) if _end(one)]
        write(run, ())
        return names
    finally:
        os.close(lock)


def _end(survivor: Survivor) -> bool:
    handle = survivor.open()
    if handle is None:
        return False
    try:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            if not ended(handle, STOP_GRACE):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                ended(handle, STOP_GRACE)
    finally:
        os.close(handle)
    return True
