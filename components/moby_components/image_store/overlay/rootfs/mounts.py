"""The mounts that join an image's layers with a container's own.

mount(2) takes one page of options, which 128 layers with their full paths would pass. Then the layers
are named through a descriptor of their directory (/proc/self/fd/7/1a), some twenty bytes each; that
holds for a mount made by the daemon itself, which is who makes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from moby_components.image_store.overlay.rootfs.modes import Mode, escape
from moby_py.model import FsMount

_ROOM = 4096 - 64
"""One page, less what a mounter may add (ro, nosuid, ...)."""


def overlay_mount(mode: Mode, folder: Path, layers: Sequence[str], own: Path, descriptor: int) -> FsMount:
    """`layers` are names in `folder` (open as `descriptor`), topmost first; `own` holds upper/ and work/."""
    fixed = (f"upperdir={escape(own / 'upper')}", f"workdir={escape(own / 'work')}", *mode.options)
    lower = "lowerdir=" + ":".join(escape(folder / name) for name in layers)
    if len(",".join((lower, *fixed)).encode()) > _ROOM:
        lower = "lowerdir=" + ":".join(f"/proc/self/fd/{descriptor}/{name}" for name in layers)
    return FsMount(type="overlay", source="overlay", options=(lower, *fixed))


def copy_mount(own: Path) -> FsMount:
    """`own` holds the copied root/."""
    return FsMount(type="bind", source=str(own / "root"), options=("rbind", "rw"))
