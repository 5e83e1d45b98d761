"""HEALTHCHECK and --health-*: read from a container's intent, checked as Docker checks it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moby_py.errors import InvalidArgument

INTERVAL, TIMEOUT, START_PERIOD, START_INTERVAL, RETRIES = 30.0, 30.0, 0.0, 5.0, 3
"""Docker's defaults, in seconds."""
_LEAST = 1_000_000
_LARGEST = (1 << 63) - 1
_DURATIONS = ("Interval", "Timeout", "StartPeriod", "StartInterval")


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """`command` is what a probe runs; times in seconds."""

    command: tuple[str, ...]
    interval: float = INTERVAL
    timeout: float = TIMEOUT
    start_period: float = START_PERIOD
    start_interval: float = START_INTERVAL
    retries: int = RETRIES

    def pause(self, status: str, running_for: float) -> float:
        """Seconds until the next probe: shorter ones only while it starts up and was never well."""
        starting = status == "starting" and running_for < self.start_period
        return self.start_interval if starting else self.interval


def health_check(intent: Mapping[str, Any]) -> HealthCheck | None:
    """None: there is none, or it was switched off. Raises InvalidArgument, in Docker's words where
    Docker has any: an image may hold whatever it likes here."""
    found = intent.get("Healthcheck")
    if not found:
        return None
    _check(found)
    test = list(found.get("Test") or ())
    if not test or test in ([""], ["NONE"]):
        return None
    match test[0]:
        case "CMD":
            command = test[1:]
        case "CMD-SHELL":
            command = [*(intent.get("Shell") or ("/bin/sh", "-c")), *test[1:]]
        case "NONE":
            return None
        case other:
            raise InvalidArgument(
                f"unknown healthcheck type '{other}' (expected 'CMD')",
                hint="Test begins with CMD, CMD-SHELL or NONE",
            )
    if len(test) < 2 or not test[1]:
        raise InvalidArgument(f"invalid Healthcheck.Test - nothing follows {test[0]}")
    seconds = {key: (found.get(key) or 0) / 1e9 for key in _DURATIONS}
    return HealthCheck(
        command=tuple(command),
        interval=seconds["Interval"] or INTERVAL,
        timeout=seconds["Timeout"] or TIMEOUT,
        start_period=seconds["StartPeriod"] or START_PERIOD,
        start_interval=seconds["StartInterval"] or START_INTERVAL,
        retries=found.get("Retries") or RETRIES,
    )


def _check(found: Any) -> None:
    if not isinstance(found, Mapping):
        raise InvalidArgument("invalid Healthcheck - it must be an object")
    test = found.get("Test")
    if test is not None and not (isinstance(test, list) and all(isinstance(word, str) for word in test)):
        raise InvalidArgument("invalid Healthcheck.Test - it must be a list of texts")
    for key in (*_DURATIONS, "Retries"):
        value = found.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise InvalidArgument(f"invalid Healthcheck.{key} - it must be a whole number")
        if value is not None and abs(value) > _LARGEST:
            raise InvalidArgument(f"invalid Healthcheck.{key} - it is larger than 64 bits")
    for key in _DURATIONS:
        if found.get(key) and found[key] < _LEAST:
            raise InvalidArgument(f"{key} in Healthcheck cannot be less than 1ms")
    if (found.get("Retries") or 0) < 0:
        raise InvalidArgument("Retries in Healthcheck cannot be negative")
