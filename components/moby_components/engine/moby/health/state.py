"""What a probe's result makes of a container's health. Pure: the clock is the caller's.

A record's health is a mapping {"status", "streak", "log"}; the log holds Docker's HealthcheckResults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moby_components.engine.moby.clock import rfc3339
from moby_components.engine.moby.health.plan import HealthCheck

KEPT = 5
"""Results in the log."""
MOST_OUTPUT = 4096
"""Bytes of a probe's output that are kept."""


@dataclass(frozen=True, slots=True)
class Result:
    """One probe: nanoseconds since the epoch, exit code (-1: it did not run to its end), output."""

    start: int
    end: int
    code: int
    output: str

    def shown(self) -> dict[str, Any]:
        return {
            "Start": rfc3339(self.start),
            "End": rfc3339(self.end),
            "ExitCode": self.code,
            "Output": self.output,
        }


def begun(before: Mapping[str, Any] | None) -> dict[str, Any]:
    """A run begins: nothing is known yet, the log of the run before stays (as Docker's does)."""
    return {"status": "starting", "streak": 0, "log": list((before or {}).get("log") or ())}


def ended(before: Mapping[str, Any]) -> dict[str, Any]:
    """A run is over. Docker calls what does not run unhealthy."""
    return {**before, "status": "unhealthy"}


def after(before: Mapping[str, Any], result: Result, check: HealthCheck, started: int) -> dict[str, Any]:
    """The health that follows; `started` is the run's begin in nanoseconds. One success is enough;
    failures count from the end of the start period on, or from the first success."""
    status, streak = str(before["status"]), int(before["streak"])
    if result.code == 0:
        status, streak = "healthy", 0
    elif status != "starting" or result.start - started >= check.start_period * 1e9:
        streak += 1
        if streak >= check.retries:
            status = "unhealthy"
    log = [*before["log"], result.shown()][-KEPT:]
    return {"status": status, "streak": streak, "log": log}


class Output:
    """The first bytes of a probe's output; three dots stand for the rest."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._cut = False

    def add(self, data: bytes) -> None:
        room = MOST_OUTPUT - len(self._kept)
        self._kept += data[:room]
        self._cut = self._cut or len(data) > room

    def __str__(self) -> str:
        return self._kept.decode(errors="replace") + ("..." if self._cut else "")
