"""Time as Docker writes it: RFC 3339 with nanoseconds, in UTC."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

ROUNDING = 1000
"""Nanoseconds that a time in seconds may be off: what a client names exactly is not to be left out."""
NEVER = "0001-01-01T00:00:00Z"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now_ns() -> int:
    return time.time_ns()


def rfc3339(nanoseconds: int) -> str:
    """1764000000123456789 -> "2025-11-24T16:00:00.123456789Z"."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{(_EPOCH + timedelta(seconds=seconds)):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def nanoseconds(text: str) -> int:
    """The way back, for any offset and 0-9 digits of fraction; 0 for NEVER. Raises ValueError."""
    if text == NEVER:
        return 0
    head, rest = text[:19], text[19:]
    fraction = 0
    if rest.startswith("."):
        digits = 1
        while digits < len(rest) and rest[digits].isdigit():
            digits += 1
        fraction = int(rest[1:digits].ljust(9, "0")[:9])
        rest = rest[digits:]
    moment = datetime.fromisoformat(head + ("+00:00" if rest in ("Z", "z", "") else rest))
    return int((moment - _EPOCH).total_seconds()) * 1_000_000_000 + fraction
