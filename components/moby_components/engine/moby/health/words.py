"""Durations as Go prints them, since clients compare Docker's texts."""

from __future__ import annotations


def go_duration(seconds: float) -> str:
    """1.5 -> "1.5s", 90 -> "1m30s", 0.25 -> "250ms"."""
    left = round(seconds * 1_000_000_000)
    if left < 1_000_000_000:
        for unit, size in (("ms", 1_000_000), ("µs", 1000)):
            if left >= size:
                return f"{_trimmed(left, size)}{unit}"
        return f"{left}ns" if left else "0s"
    minutes, rest = divmod(left, 60_000_000_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{_trimmed(rest, 1_000_000_000)}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def _trimmed(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    digits = str(rest).rjust(len(str(unit)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
