"""Devices of the host given to a container; a folder gives every node in it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from moby_py.errors import InvalidArgument
from moby_py.model import Device

MOST_NODES = 1024


def check_devices(host: Mapping[str, Any]) -> None:
    """What can be said without looking at the host."""
    for device in host.get("Devices") or ():
        if not (device.get("PathOnHost") or "").startswith("/"):
            raise InvalidArgument(f"invalid device mapping format: {device.get('PathOnHost', '')}")
        if set(device.get("CgroupPermissions") or "rwm") - set("rwm"):
            raise InvalidArgument(f"invalid device mode: {device['CgroupPermissions']}")
    requests = host.get("DeviceRequests") or ()
    if requests:
        request = requests[0]
        raise InvalidArgument(
            f'could not select device driver "{request.get("Driver") or ""}" with capabilities: '
            f"{request.get('Capabilities') or []}".replace("'", "").replace(",", ""),
            hint="give the device nodes with --device",
        )


def devices(host: Mapping[str, Any]) -> tuple[Device, ...]:
    """Looks at the host. Raises InvalidArgument for what is no device."""
    check_devices(host)
    found: list[Device] = []
    for entry in host.get("Devices") or ():
        source = Path(entry["PathOnHost"])
        target = entry.get("PathInContainer") or str(source)
        access = entry.get("CgroupPermissions") or "rwm"
        nodes = list(_nodes(source.resolve()))
        if not nodes:
            raise InvalidArgument(
                f'error gathering device information while adding custom device "{source}": no such device'
            )
        for node in nodes:
            inside = os.path.normpath(Path(target) / node.relative_to(source.resolve()))
            found.append(Device(source=str(node), target=inside, access=access))
    return tuple(found)


def _nodes(path: Path) -> Iterator[Path]:
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        yield path
    elif stat.S_ISDIR(mode):
        for count, inner in enumerate(sorted(path.rglob("*"))):
            if count >= MOST_NODES:
                raise InvalidArgument(f"too many files in {path} - {MOST_NODES} are looked at")
            if stat.S_ISCHR(inner.lstat().st_mode) or stat.S_ISBLK(inner.lstat().st_mode):
                yield inner
