"""A container's files as the container sees them, for one piece of work in a mount namespace of its own.

Docker's way: the root file system with volumes and binds in their places, and nothing else - no /proc,
no /dev, no tmpfs. The mounts exist in a namespace that only one thread is in: nobody on the host sees
them, and they are gone with the thread, also when the daemon is killed. Paths are resolved with
openat2(2) below the root (`common/inroot`), so that no link of the container's leads out of it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from moby_components.common import mounts
from moby_components.common.inroot import open_in_root
from moby_components.common.netns import in_thread
from moby_components.common.rooted import make_dirs
from moby_py.model import FsMount

T = TypeVar("T")
CLONE_NEWNS = 0x00020000


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """`source`, or `part` of it, at `target` in the container; or `mounts`, such as an image's."""

    target: str
    source: Path = Path("/")
    part: str = ""
    mounts: tuple[FsMount, ...] = ()
    recursive: bool = False
    readonly: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to mount: `root` as the image store says it, or as a bind of where it is mounted already.

    `place` is an empty folder to mount on; what else is mounted below `shed` (the roots of other
    containers, secrets) is let go of, so that this work keeps none of it alive.
    """

    root: tuple[FsMount, ...]
    binds: tuple[Bind, ...]
    readonly: bool
    place: Path
    shed: Path


def in_view(plan: Plan, work: Callable[[Path], T]) -> T:
    """The result of `work`, called with the root's path in a thread that alone sees it. Blocks; raises
    what `work` raises, and OSError where something cannot be mounted."""
    return in_thread(lambda: _inside(plan, work))


def _inside(plan: Plan, work: Callable[[Path], T]) -> T:
    mounts.unshare(CLONE_NEWNS)
    mounts.spread("/", "rslave")  # unmounting on the host goes on here, and nothing comes back from here
    done = 0
    try:
        for part in plan.root:
            mounts.mount(part.type, part.source, plan.place, part.options)
            done += 1
        for bind in plan.binds:
            _bind(plan.place, bind)
            done += 1
        if plan.readonly:
            mounts.make_readonly(plan.place)
        for path in reversed(mounts.mounted_under(plan.shed)):
            if path != str(plan.place) and not path.startswith(f"{plan.place}/"):
                with contextlib.suppress(OSError):
                    mounts.umount(path, lazy=True)
        return work(plan.place)
    finally:
        # At once, not some time after the thread: a start mounts the same writable layer next.
        if done:
            with contextlib.suppress(OSError):
                mounts.umount(plan.place, lazy=True)


def _bind(root: Path, bind: Bind) -> None:
    """Mount at the place that the container sees under this name; make it where there is none yet."""
    source = _source(bind)
    try:
        folder = bind.mounts != () or stat.S_ISDIR(os.fstat(source).st_mode)
        try:
            where = open_in_root(root, bind.target, os.O_PATH)
        except FileNotFoundError:
            where = make_dirs(root, bind.target) if folder else _make_file(root, bind.target)
        try:
            # A slave of the host's mount already, as all is here: no propagation has to be set.
            kind = "rbind" if bind.recursive else "bind"
            for part in bind.mounts or (
                FsMount(type="bind", source=f"/proc/self/fd/{source}", options=(kind,)),
            ):
                mounts.mount(part.type, part.source, f"/proc/self/fd/{where}", part.options)
        finally:
            os.close(where)
    finally:
        os.close(source)
    if bind.readonly:
        where = open_in_root(root, bind.target, os.O_PATH)  # now what is mounted there
        try:
            mounts.make_readonly(f"/proc/self/fd/{where}")
        finally:
            os.close(where)


def _source(bind: Bind) -> int:
    """Opened here, since a mount of another namespace cannot be bound; a part of a volume, whose users
    write it, is looked up inside."""
    if bind.part:
        return open_in_root(bind.source, bind.part, os.O_PATH)
    return os.open(bind.source, os.O_PATH | os.O_CLOEXEC)


def _make_file(root: Path, target: str) -> int:
    parent, _, name = target.rstrip("/").rpartition("/")
    folder = make_dirs(root, parent)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with contextlib.suppress(FileExistsError):
            os.close(os.open(name, flags, 0o644, dir_fd=folder))
    finally:
        os.close(folder)
    return open_in_root(root, target, os.O_PATH)
