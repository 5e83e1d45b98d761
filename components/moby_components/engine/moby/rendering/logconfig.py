"""LogConfig: json-file, local and none, with max-size and max-file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moby_py.errors import InvalidArgument

DRIVERS = ("json-file", "local", "none")
_KNOWN = frozenset(
    {"max-size", "max-file", "mode", "compress", "labels", "labels-regex", "env", "env-regex", "tag"}
)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s?([kmgt]?)i?b?", re.IGNORECASE)
_FACTORS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


@dataclass(frozen=True, slots=True)
class LogPlan:
    """`max_size` in bytes, 0 for no limit; `files` in all, the one being written included."""

    keep: bool = True
    max_size: int = 0
    files: int = 1


def log_plan(
    host: Mapping[str, Any], *, driver: str = "json-file", options: Mapping[str, str] | None = None
) -> LogPlan:
    """From HostConfig over the platform's defaults. Raises InvalidArgument."""
    config = host.get("LogConfig") or {}
    name = config.get("Type") or driver
    settings = (
        dict(config.get("Config") or {})
        if config.get("Type")
        else {**(options or {}), **(config.get("Config") or {})}
    )
    if name not in DRIVERS:
        raise InvalidArgument(
            f"logger: no log driver named '{name}' is registered",
            hint="use json-file, local or none; ship logs on from there",
        )
    if name == "none":
        return LogPlan(keep=False)
    for key in settings:
        if key not in _KNOWN:
            raise InvalidArgument(f"unknown log opt '{key}' for {name} log driver")
    if settings.get("mode", "blocking") != "blocking":
        raise InvalidArgument(
            f"log mode '{settings['mode']}' is not supported - logs are written by the monitor"
        )
    if settings.get("compress", "false") != "false" and name == "json-file":
        raise InvalidArgument("log opt 'compress' is not supported - rotated files are kept as they are")
    size, files = settings.get("max-size", "20m" if name == "local" else "-1"), settings.get("max-file", "")
    if files and (not files.isdecimal() or int(files) < 1):
        raise InvalidArgument("max-file cannot be less than 1")
    count = int(files) if files else (5 if name == "local" else 1)
    limit = 0 if size == "-1" else parse_size(size)
    return LogPlan(max_size=limit, files=count)


def parse_size(text: str) -> int:
    """ "10m" -> 10485760. Raises InvalidArgument."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise InvalidArgument(f"invalid size: '{text}'")
    return int(float(match[1]) * 1024 ** _FACTORS[match[2].lower()])
