"""What is mounted where, as the body says it: Binds, Mounts, Tmpfs, Volumes, VolumesFrom.

All forms become one `MountPlan` per destination; inspect's MountPoint objects and the ContainerSpec's
mounts are made of it. An explicit mount wins over VolumesFrom, and both over the image's volumes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from moby_components.engine.moby.rendering.mount_forms import (
    MountPlan,
    clean_target,
    of_bind,
    of_mount,
    of_tmpfs,
)
from moby_py.errors import InvalidArgument

__all__ = ["Lookup", "MountPlan", "plan"]

Lookup = Callable[[str], Sequence[MountPlan]]
"""From a container's ref to its mounts, for VolumesFrom."""

_FROM_MODES = ("", "ro", "rw", "z", "Z", "consistent", "cached", "delegated")


def plan(body: Mapping[str, Any], volumes_from: Lookup) -> tuple[MountPlan, ...]:
    """All mounts of a body, shallow destinations first. Raises InvalidArgument."""
    host = body.get("HostConfig") or {}
    driver = str(host.get("VolumeDriver") or "")
    explicit = [of_bind(text, driver) for text in host.get("Binds") or ()]
    explicit += [of_mount(entry) for entry in host.get("Mounts") or ()]
    explicit += [of_tmpfs(target, options) for target, options in (host.get("Tmpfs") or {}).items()]
    found: dict[str, MountPlan] = {}
    for entry in explicit:
        if entry.target in found:
            raise InvalidArgument(f"Duplicate mount point: {entry.target}")
        found[entry.target] = entry
    for text in host.get("VolumesFrom") or ():
        ref, _, mode = text.partition(":")
        if not ref:
            raise InvalidArgument("volumes-from specification cannot be an empty string")
        if mode not in _FROM_MODES:
            raise InvalidArgument(f"invalid mode: {mode}")
        for entry in volumes_from(ref):
            if entry.target not in found:
                readonly = entry.readonly or mode == "ro"
                found[entry.target] = replace(entry, readonly=readonly, copy=False)
    for target in body.get("Volumes") or {}:
        clean = clean_target(target)
        found.setdefault(clean, MountPlan(type="volume", target=clean, driver=driver))
    return tuple(sorted(found.values(), key=lambda entry: (entry.target.count("/"), entry.target)))
