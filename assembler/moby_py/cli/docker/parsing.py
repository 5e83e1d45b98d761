"""What people write after options, as the API's values. All raise click.UsageError with the option's name."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

_SIZE = re.compile(r"(-?\d+(?:\.\d+)?)\s*([bkmgtp]?)i?b?", re.IGNORECASE)
_UNITS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_TIME = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)")
_NANO = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def size(text: str, option: str) -> int:
    """ "512m" -> bytes; "-1" stays."""
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise click.UsageError(f"invalid size {text!r} for {option} - write a number with b, k, m or g")
    value = float(found[1]) * 1024 ** _UNITS[found[2].lower()]
    return int(value)


def duration(text: str, option: str) -> int:
    """ "1m30s" -> nanoseconds."""
    parts = _TIME.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise click.UsageError(f"invalid duration {text!r} for {option} - write 1m30s, 500ms or 2h")
    return int(sum(float(number) * _NANO[unit] for number, unit in parts))


def environment(values: Iterable[str], files: Iterable[str]) -> list[str]:
    """Files first, then options; a bare NAME takes this shell's value, or is left out without one."""
    lines: list[str] = []
    for file in files:
        lines += lines_of(file, "--env-file")
    result: dict[str, str] = {}
    for line in [*lines, *values]:
        name, equals, value = line.partition("=")
        if not name:
            raise click.UsageError(f"invalid environment variable {line!r} - write NAME=VALUE")
        if equals:
            result[name] = value
        elif name in os.environ:
            result[name] = os.environ[name]
    return [f"{name}={value}" for name, value in result.items()]


def labels(values: Iterable[str], files: Iterable[str] = ()) -> dict[str, str]:
    lines = [line for file in files for line in lines_of(file, "--label-file")]
    return {key: value for key, _, value in (line.partition("=") for line in [*lines, *values])}


def pairs(values: Iterable[str], option: str) -> dict[str, str]:
    result = {}
    for text in values:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise click.UsageError(f"invalid value {text!r} for {option} - write KEY=VALUE")
        result[key] = value
    return result


def lines_of(file: str, option: str) -> list[str]:
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"cannot read {file!r} for {option} - {error}") from None
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def volume(text: str) -> tuple[str | None, str]:
    """-v: (None, "/path") for an anonymous one, else ("bind text", target). Relative sources count
    from here; "~" is the shell's business."""
    parts = text.split(":")
    if len(parts) == 1:
        if not text.startswith("/"):
            raise click.UsageError(f"invalid volume {text!r} - the place in the container must be absolute")
        return None, text
    if len(parts) > 3 or not parts[0] or not parts[1].startswith("/"):
        raise click.UsageError(f"invalid volume {text!r} - write SOURCE:/TARGET[:ro]")
    if parts[0].startswith((".", "/")):
        parts[0] = str(Path(parts[0]).absolute() if parts[0].startswith("/") else Path(parts[0]).resolve())
    return ":".join(parts), parts[1]


_MOUNT_KEYS = {
    "src": "source",
    "destination": "target",
    "dst": "target",
    "ro": "readonly",
}
_MOUNT_FIELDS: dict[str, tuple[tuple[str, ...], str]] = {
    "source": (("Source",), "text"),
    "target": (("Target",), "text"),
    "readonly": (("ReadOnly",), "flag"),
    "consistency": (("Consistency",), "text"),
    "bind-propagation": (("BindOptions", "Propagation"), "text"),
    "bind-nonrecursive": (("BindOptions", "NonRecursive"), "flag"),
    "volume-nocopy": (("VolumeOptions", "NoCopy"), "flag"),
    "volume-subpath": (("VolumeOptions", "Subpath"), "text"),
    "volume-driver": (("VolumeOptions", "DriverConfig", "Name"), "text"),
    "volume-label": (("VolumeOptions", "Labels"), "pair"),
    "volume-opt": (("VolumeOptions", "DriverConfig", "Options"), "pair"),
    "tmpfs-size": (("TmpfsOptions", "SizeBytes"), "size"),
    "tmpfs-mode": (("TmpfsOptions", "Mode"), "mode"),
}


def mount(text: str) -> dict[str, Any]:
    """--mount type=bind,src=/a,dst=/b,readonly -> the API's Mount object."""
    shape: dict[str, Any] = {"Type": "volume"}
    for item in next(csv.reader([text])):
        key, equals, value = item.strip().partition("=")
        key = _MOUNT_KEYS.get(key.lower(), key.lower())
        if key == "type":
            shape["Type"] = value
            continue
        if key not in _MOUNT_FIELDS:
            raise click.UsageError(f"unexpected key {key!r} in --mount {text!r}")
        path, form = _MOUNT_FIELDS[key]
        _put(shape, path, form, value if equals else "true")
    if shape["Type"] == "bind" and str(shape.get("Source", "")).startswith("."):
        shape["Source"] = str(Path(shape["Source"]).resolve())
    if not shape.get("Target"):
        raise click.UsageError(f"--mount {text!r} names no target - add dst=/PATH")
    return shape


def _put(shape: dict[str, Any], path: tuple[str, ...], form: str, value: str) -> None:
    for word in path[:-1]:
        shape = shape.setdefault(word, {})
    last = path[-1]
    match form:
        case "flag":
            shape[last] = value.lower() in ("1", "true", "t")
        case "size":
            shape[last] = size(value, "tmpfs-size")
        case "mode":
            try:
                shape[last] = int(value, 8)
            except ValueError:
                raise click.UsageError(f"invalid tmpfs-mode {value!r} - write it in octal, 1777") from None
        case "pair":
            name, _, rest = value.partition("=")
            shape.setdefault(last, {})[name] = rest
        case _:
            shape[last] = value


def secret(text: str) -> dict[str, Any]:
    """NAME[:TARGET] -> a mount of type secret; TARGET below /run/secrets unless absolute."""
    name, _, target = text.partition(":")
    if not name:
        raise click.UsageError(f"invalid secret {text!r} - write NAME[:TARGET]")
    target = target or name
    place = target if target.startswith("/") else f"/run/secrets/{target}"
    return {"Type": "secret", "Source": name, "Target": place, "ReadOnly": True}


def device(text: str) -> dict[str, str]:
    parts = text.split(":")
    source, target, access = parts[0], parts[0], "rwm"
    if len(parts) == 2 and set(parts[1]) <= set("rwm"):
        access = parts[1]
    elif len(parts) >= 2:
        target, access = parts[1], parts[2] if len(parts) > 2 else "rwm"
    if len(parts) > 3 or not source.startswith("/") or not set(access) <= set("rwm"):
        raise click.UsageError(f"invalid device {text!r} - write /dev/X[:/dev/Y][:rwm]")
    return {"PathOnHost": source, "PathInContainer": target, "CgroupPermissions": access}


def ulimit(text: str) -> dict[str, Any]:
    name, _, values = text.partition("=")
    soft, _, hard = values.partition(":")
    try:
        low, high = int(soft), int(hard or soft)
    except ValueError:
        raise click.UsageError(f"invalid ulimit {text!r} - write NAME=SOFT[:HARD]") from None
    if 0 <= high < low:
        raise click.UsageError(f"invalid ulimit {text!r} - the soft limit is above the hard one")
    return {"Name": name, "Soft": low, "Hard": high}


def restart(text: str) -> dict[str, Any]:
    name, _, count = text.partition(":")
    if name not in ("no", "always", "unless-stopped", "on-failure") or (count and not count.isdigit()):
        raise click.UsageError(
            f"invalid restart policy {text!r} - no, always, unless-stopped, on-failure[:N]"
        )
    return {"Name": name, "MaximumRetryCount": int(count or 0)}


def ports(values: Iterable[str]) -> tuple[dict[str, Any], dict[str, list[dict[str, str]]]]:
    """-p [[IP:]HOST:]CONTAINER[/PROTO], ranges too -> (ExposedPorts, PortBindings)."""
    exposed: dict[str, Any] = {}
    bindings: dict[str, list[dict[str, str]]] = {}
    for text in values:
        rest, _, protocol = text.partition("/")
        ip = ""
        if rest.startswith("["):
            ip, _, rest = rest[1:].partition("]:")
        elif rest.count(":") == 2:
            ip, _, rest = rest.partition(":")
        host, _, inside = rest.rpartition(":")
        for outer, inner in _ranges(host, inside, text):
            key = f"{inner}/{protocol or 'tcp'}"
            exposed[key] = {}
            bindings.setdefault(key, []).append({"HostIp": ip, "HostPort": outer})
    return exposed, bindings


def _ranges(host: str, inside: str, text: str) -> Iterable[tuple[str, int]]:
    try:
        first, _, last = inside.partition("-")
        inner = range(int(first), int(last or first) + 1)
        if not host:
            return [("", port) for port in inner]
        start, _, end = host.partition("-")
        outer = range(int(start), int(end or start) + 1)
        if not inner or not outer or max(*inner, *outer, 0) > 65535 or min(inner) < 1:
            raise ValueError
        if len(inner) == 1 and len(outer) > 1:
            return [(host, inner[0])]
        if len(inner) != len(outer):
            raise ValueError
    except ValueError:
        raise click.UsageError(
            f"invalid port {text!r} - write [[IP:]HOST:]CONTAINER[/tcp|udp|sctp]"
        ) from None
    return [(str(a), b) for a, b in zip(outer, inner, strict=True)]


def drop_empty(shape: Mapping[str, Any]) -> dict[str, Any]:
    """Without what was not asked for: None, "", False, 0 and empty collections."""
    return {key: value for key, value in shape.items() if value}
