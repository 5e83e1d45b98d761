"""LogConfig: json-file, local, journald and none, with the options of Docker's drivers.

Whatever its name, the monitor writes one format, so that `logs` reads them all; a name chooses the
limits (and for journald, that the lines are sent on as well). `mode` changes nothing: the monitor
writes to a file of this host, and what is sent on is sent from there, so that no container ever waits
for a reader of its log.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from moby_components.common.logattributes import check_options
from moby_py.errors import InvalidArgument

DRIVERS = ("json-file", "local", "journald", "none")
_EVERY = frozenset({"mode", "max-buffer-size"})
_ATTRIBUTES = frozenset({"labels", "labels-regex", "env", "env-regex", "tag"})
_FILES = frozenset({"max-size", "max-file", "compress"})
_CACHE = frozenset({"cache-max-size", "cache-max-file", "cache-compress"})
_KNOWN = {
    "json-file": _EVERY | _FILES | _ATTRIBUTES,
    "local": _EVERY | _FILES,
    "journald": _EVERY | _CACHE | _ATTRIBUTES,
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s?([kmgt]?)i?b?", re.IGNORECASE)
_FACTORS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_TRUE, _FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")


@dataclass(frozen=True, slots=True)
class LogPlan:
    """`max_size` in bytes, 0 for no limit; `files` in all, the one being written included; `compress`
    for those before it. `settings` are the driver's options as they were given."""

    keep: bool = True
    max_size: int = 0
    files: int = 1
    compress: bool = False
    driver: str = "json-file"
    settings: Mapping[str, str] = field(default_factory=dict, compare=False)


def log_plan(
    host: Mapping[str, Any], *, driver: str = "json-file", options: Mapping[str, str] | None = None
) -> LogPlan:
    """From HostConfig over the platform's defaults. Raises InvalidArgument, in Docker's words."""
    config = host.get("LogConfig") or {}
    name = config.get("Type") or driver
    given = config.get("Config") or {}
    settings: dict[str, str] = dict(given) if config.get("Type") else {**(options or {}), **given}
    if name not in DRIVERS:
        raise InvalidArgument(
            f"logger: no log driver named '{name}' is registered",
            hint=f"use {', '.join(DRIVERS)}; ship logs on from there",
        )
    if name == "none":
        return LogPlan(driver=name, keep=False)
    _check_mode(settings)
    for key in settings:
        if key not in _KNOWN[name]:
            raise InvalidArgument(_unknown(key, name))
    check_options(settings)
    if name == "json-file":
        return _files(name, settings, size="-1", files=1, compress=False)
    prefix = "cache-" if name == "journald" else ""
    return _files(name, settings, prefix, size="20m", files=5, compress=True)


def _files(
    name: str, settings: Mapping[str, str], prefix: str = "", *, size: str, files: int, compress: bool
) -> LogPlan:
    """How the files are kept; the keywords are the driver's defaults."""
    text = settings.get(f"{prefix}max-size", size)
    limit = 0 if text == "-1" else parse_size(text)
    if text != "-1" and limit <= 0:
        raise InvalidArgument(f"{prefix}max-size must be a positive number")
    number = settings.get(f"{prefix}max-file", str(files))
    if not number.isdecimal() or int(number) < 1:
        raise InvalidArgument(f"{prefix}max-file cannot be less than 1")
    count, asked = int(number), settings.get(f"{prefix}compress")
    packed = compress if asked is None else _flag(f"{prefix}compress", asked)
    if packed and (count < 2 or not limit):
        if asked is not None:
            raise InvalidArgument(
                "compress cannot be true when max-file is less than 2 or max-size is not set"
                if name == "json-file"
                else "compression cannot be enabled when max file count is 1"
            )
        packed = False
    return LogPlan(driver=name, max_size=limit, files=count, compress=packed, settings=dict(settings))


def _check_mode(settings: Mapping[str, str]) -> None:
    mode = settings.get("mode", "")
    if mode not in ("", "blocking", "non-blocking"):
        raise InvalidArgument(f"logger: logging mode not supported: {mode}")
    if "max-buffer-size" in settings:
        if mode != "non-blocking":
            raise InvalidArgument("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
        try:
            parse_size(settings["max-buffer-size"])
        except InvalidArgument as error:
            raise InvalidArgument(f"error parsing option max-buffer-size: {error}") from None


def _unknown(key: str, name: str) -> str:
    return f"unknown log opt '{key}' for {'log driver local' if name == 'local' else f'{name} log driver'}"


def _flag(key: str, text: str) -> bool:
    if text not in (*_TRUE, *_FALSE):
        raise InvalidArgument(f"invalid log opt '{key}' - {text!r} is neither true nor false")
    return text in _TRUE


def parse_size(text: str) -> int:
    """ "10m" -> 10485760. Raises InvalidArgument."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise InvalidArgument(f"invalid size: '{text}'")
    return int(float(match[1]) * 1024 ** _FACTORS[match[2].lower()])
