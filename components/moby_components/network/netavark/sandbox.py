"""The sandbox that netavark is given: the container's own, or a stand-in where that is gone.

A teardown stops at the first thing it misses inside the namespace - the file, the interface - and then
leaves the bridge and the rules of the host. A namespace of a moment's life that has an interface of the
right name gets it past that point. And a path that names the host's own namespace by mistake would
have netavark delete the host's eth0: it is never given one.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

from moby_components.common import links
from moby_components.common.mounts import pin_network_namespace, umount
from moby_components.common.netns import run_in

_PREFIX = "stand-in-"


def has_interface(path: str, name: str) -> bool:
    """Whether `path` is a network namespace, not ours, with that interface."""
    try:
        if Path(path).samefile("/proc/thread-self/ns/net"):
            return False
        return bool(path) and run_in(path, lambda: links.find(name)) is not None
    except OSError:
        return False


@contextlib.asynccontextmanager
async def for_teardown(path: str, interface: str, folder: Path) -> AsyncIterator[str]:
    """The namespace file to name in a teardown."""
    present = await asyncio.to_thread(has_interface, path, interface)
    if present:
        yield path
        return
    stand_in = folder / f"{_PREFIX}{uuid.uuid4().hex}"
    await asyncio.to_thread(_make, stand_in, interface)
    try:
        yield str(stand_in)
    finally:
        _unmake(stand_in)


def _make(path: Path, interface: str) -> None:
    pin_network_namespace(path)
    try:
        run_in(path, lambda: links.add_stand_in(interface))
    except BaseException:
        _unmake(path)
        raise


def _unmake(path: Path) -> None:
    umount(path, lazy=True)
    path.unlink(missing_ok=True)


def clear(folder: Path) -> None:
    """Remove stand-ins that a crash left."""
    for path in folder.glob(f"{_PREFIX}*"):
        _unmake(path)
