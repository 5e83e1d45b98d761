"""Durations and sizes in the words of Docker's tables ("About a minute", "1.24MB").

The rules are those of docker/go-units, because people and scripts know them by heart.
"""

from __future__ import annotations

_SI = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def duration(seconds: float) -> str:
    """A rough age: "Less than a second", "5 seconds", "About an hour", "3 weeks"."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < 60:
        return f"{whole} seconds"
    minutes = whole // 60
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = int(seconds / 3600 + 0.5)
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{int(seconds / 3600) // 24 // 365} years"


def size(count: float, *, precision: int = 3) -> str:
    """Bytes in powers of 1000, `precision` significant digits: "72.8MB"."""
    return _scaled(count, 1000.0, _SI, precision)


def binary_size(count: float, *, precision: int = 4) -> str:
    """Bytes in powers of 1024: "1.944GiB"."""
    return _scaled(count, 1024.0, _BINARY, precision)


def _scaled(count: float, base: float, units: tuple[str, ...], precision: int) -> str:
    unit = 0
    while count >= base and unit < len(units) - 1:
        count /= base
        unit += 1
    return f"{count:.{precision}g}{units[unit]}"
