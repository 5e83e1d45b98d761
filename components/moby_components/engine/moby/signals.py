"""Signals by any of the names that Docker takes: "SIGTERM", "term", "15", "RTMIN+3"."""

from __future__ import annotations

import signal

from moby_py.errors import InvalidArgument


def parse_signal(text: str) -> int:
    """Raises InvalidArgument "invalid signal: X"."""
    word = text.strip().upper().removeprefix("SIG")
    if word.isdecimal():
        number = int(word)
        if 0 < number <= 64:
            return number
    base, sign, offset = word.partition("+") if "+" in word else word.partition("-")
    if base in ("RTMIN", "RTMAX") and (not sign or offset.isdecimal()):
        start = 34 if base == "RTMIN" else 64
        number = start + (int(offset) if sign == "+" else -int(offset or 0))
        if 34 <= number <= 64:
            return number
    found = getattr(signal, f"SIG{word}", None) if word.isalnum() else None
    if not isinstance(found, signal.Signals):
        raise InvalidArgument(f"invalid signal: {text}")
    return int(found)
