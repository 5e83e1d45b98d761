"""A process, named so that a reused pid is not taken for it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


def start_time(pid: int) -> int | None:
    """Start time of `pid` in clock ticks since boot (field 22 of proc(5) stat); None: no such process.

    A zombie still has one: it is dead, but its pid is not reused yet.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command in parentheses may hold blanks and parentheses of its own: count from the last one.
    return int(stat[stat.rindex(b")") + 2 :].split()[19])


@dataclass(frozen=True, slots=True)
class Identity:
    """A pid and the start time it had when we met it."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """Who has this pid now; None when nobody has."""
        started = start_time(pid)
        return None if started is None else cls(pid, started)

    def exists(self) -> bool:
        """Whether this very process is there (a zombie counts)."""
        return start_time(self.pid) == self.started

    def runs(self) -> bool:
        """Whether this very process is there and not a zombie."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return False
        fields = stat[stat.rindex(b")") + 2 :].split()
        return int(fields[19]) == self.started and fields[0] not in (b"Z", b"X")

    def pidfd(self) -> int | None:
        """A pidfd of this very process; None when it is gone. The caller closes it."""
        try:
            fd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return None
        # Opened first, checked second: from here on the fd cannot change whom it means.
        if not self.exists():
            os.close(fd)
            return None
        return fd

    def kill(self, signal: int) -> bool:
        """Signal this very process. False when it is gone."""
        import signal as signals

        fd = self.pidfd()
        if fd is None:
            return False
        try:
            signals.pidfd_send_signal(fd, signal)
        except ProcessLookupError:
            return False
        finally:
            os.close(fd)
        return True
