"""The filters of `docker ... prune`: until, label, label!."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence

from moby_components.api.docker.times import seconds
from moby_py.errors import InvalidArgument

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def moment(text: str, now: float) -> float:
    """ "24h" (ago), seconds since the epoch or RFC 3339 -> seconds since the epoch.
    Raises InvalidArgument."""
    parts = _DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return now - sum(float(number) * _UNITS[unit] for number, unit in parts)
    try:
        return float(text)
    except ValueError:
        found = seconds(text)
    if not found:
        raise InvalidArgument(f"invalid filter 'until={text}' - neither a duration nor a time")
    return found


class Pruning:
    """`takes(created, labels)`: may it go? Raises InvalidArgument for several `until`."""

    def __init__(self, filters: Mapping[str, Sequence[str]], now: float | None = None) -> None:
        until = filters.get("until") or ()
        if len(until) > 1:
            raise InvalidArgument("more than one until filter specified")
        self._until = moment(until[0], time.time() if now is None else now) if until else None
        self._with = tuple(filters.get("label") or ())
        self._without = tuple(filters.get("label!") or ())

    def takes(self, created: str, labels: Mapping[str, str]) -> bool:
        if self._until is not None and seconds(created) > self._until:
            return False
        return all(_has(labels, text) for text in self._with) and not any(
            _has(labels, text) for text in self._without
        )


def _has(labels: Mapping[str, str], text: str) -> bool:
    key, equals, value = text.partition("=")
    return key in labels and (not equals or labels[key] == value)
