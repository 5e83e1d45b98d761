"""Times as Docker's API writes and takes them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from moby_py.errors import InvalidArgument

ZERO = "0001-01-01T00:00:00Z"


def unix(text: str) -> int:
    """RFC 3339 (any number of decimals) -> whole seconds since the epoch; 0 for never."""
    return int(seconds(text))


def seconds(text: str) -> float:
    """RFC 3339 -> seconds since the epoch; 0.0 for never or nonsense."""
    if not text or text.startswith("0001-"):
        return 0.0
    body = text.upper().removesuffix("Z")
    zone = "+00:00"
    for sign in "+-":
        at = body.rfind(sign)
        if at > 10:
            body, zone = body[:at], body[at:]
    whole, _, fraction = body.partition(".")
    try:
        return datetime.fromisoformat(whole + zone).timestamp() + (
            float("0." + fraction) if fraction else 0.0
        )
    except ValueError:
        return 0.0


def parameter(text: str, name: str) -> float:
    """A `since` or `until`: seconds with decimals, RFC 3339, or nothing (0.0). Raises InvalidArgument."""
    if not text or text == "0":
        return 0.0
    try:
        return float(text)
    except ValueError:
        pass
    found = seconds(text)
    if not found:
        raise InvalidArgument(f"invalid value {text!r} for {name} - neither seconds nor RFC 3339")
    return found


def now() -> str:
    """RFC 3339 with nanoseconds, UTC."""
    nano = time.time_ns()
    whole = datetime.fromtimestamp(nano // 1_000_000_000, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{nano % 1_000_000_000:09d}Z"
