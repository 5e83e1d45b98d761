"""Device nodes and who may use them."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from moby_py.errors import InvalidArgument
from moby_py.model import ContainerSpec, Device

_NOT_HOST_DEVICES = {"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"}
_RULE = re.compile(r"([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})")


def build_devices(spec: ContainerSpec) -> list[dict[str, Any]]:
    """Spec: linux.devices. The usual ones (null, zero, full, random, urandom, tty) every runtime
    makes itself. A directory stands for all devices below it. Raises `InvalidArgument`: not there."""
    found = {device["path"]: device for device in _host_devices()} if spec.privileged else {}
    for device in spec.devices:
        nodes = list(_expand(device))
        if not nodes:
            raise InvalidArgument(f"cannot add device {device.source!r} - it is not a device node")
        found.update((node["path"], node) for node in nodes)
    return list(found.values())


def device_rules(spec: ContainerSpec) -> list[dict[str, Any]]:
    """Spec: linux.resources.devices, in order: a later rule wins. Runtimes add the usual devices."""
    if spec.privileged:
        return [{"allow": True, "access": "rwm"}]
    rules: list[dict[str, Any]] = [{"allow": False, "access": "rwm"}]
    for device in spec.devices:
        for node in _expand(device):
            rules.append(
                {
                    "allow": True,
                    "type": node["type"],
                    "major": node["major"],
                    "minor": node["minor"],
                    "access": _access(device.access),
                }
            )
    for text in spec.resources.device_cgroup_rules:
        rules.append(_rule(text))
    return rules


def node(source: Path, target: str) -> dict[str, Any] | None:
    """One entry of linux.devices; None when `source` is no device node."""
    seen = source.stat()
    if not (stat.S_ISCHR(seen.st_mode) or stat.S_ISBLK(seen.st_mode)):
        return None
    return {
        "path": target,
        "type": "c" if stat.S_ISCHR(seen.st_mode) else "b",
        "major": os.major(seen.st_rdev),
        "minor": os.minor(seen.st_rdev),
        "fileMode": stat.S_IMODE(seen.st_mode),
        "uid": seen.st_uid,
        "gid": seen.st_gid,
    }


def _expand(device: Device) -> Iterator[dict[str, Any]]:
    source = Path(device.source)
    try:
        if not source.is_dir():
            found = node(source, device.target)
            if found:
                yield found
            return
        for path in sorted(source.rglob("*")):
            if path.is_symlink() or path.is_dir():
                continue
            found = node(path, f"{device.target.rstrip('/')}/{path.relative_to(source)}")
            if found:
                yield found
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise InvalidArgument(f"error gathering device information for {device.source!r} - {why}") from error


def _host_devices(top: Path = Path("/dev")) -> Iterator[dict[str, Any]]:
    for path in sorted(top.iterdir()):
        if path.name in _NOT_HOST_DEVICES or path.is_symlink() or str(path) == "/dev/console":
            continue
        if path.is_dir():
            yield from _host_devices(path)
            continue
        try:
            found = node(path, str(path))
        except OSError:
            continue  # it went away meanwhile
        if found:
            yield found


def _access(text: str) -> str:
    if not text or set(text) - set("rwm"):
        raise InvalidArgument(f"invalid device mode {text!r} - letters of rwm are meant")
    return text


def _rule(text: str) -> dict[str, Any]:
    match = _RULE.fullmatch(text.strip())
    if match is None:
        raise InvalidArgument(f"invalid device cgroup rule format {text!r} - like 'c 42:* rmw'")
    rule: dict[str, Any] = {"allow": True, "type": match[1], "access": match[4]}
    for key, number in (("major", match[2]), ("minor", match[3])):
        rule[key] = -1 if number == "*" else int(number)
    return rule
