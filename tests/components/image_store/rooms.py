"""Stores, mounted roots and trees written down, for the tests of this folder."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from moby_components.common.mounts import mount, umount
from moby_components.image_store.overlay.store import Overlay
from moby_py.errors import MobyError
from moby_py.model import ImageRecord, RootFS
from moby_py.testing.room import make_context

T = TypeVar("T")


@contextlib.asynccontextmanager
async def opened(root: Path, *, rootless: bool = False, **options: Any) -> AsyncIterator[Overlay]:
    """An open store below `root`; the same root gives the same store again."""
    store = Overlay(make_context(Overlay, root, options=options, rootless=rootless))
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def run_in(root: Path, work: Callable[[Overlay], Awaitable[T]], **options: Any) -> T:
    """`work(store)` in a fresh event loop with a store of its own."""

    async def main() -> T:
        async with opened(root, **options) as store:
            return await work(store)

    return asyncio.run(main())


async def stream(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def collected(data: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in data])


async def refused(work: Awaitable[object]) -> MobyError:
    """The error that it must end with."""
    try:
        result = await work
    except MobyError as error:
        return error
    raise AssertionError(f"it was not refused: {result!r}")


@contextlib.contextmanager
def mounted(rootfs: RootFS, target: Path) -> Iterator[Path]:
    target.mkdir(exist_ok=True)
    for one in rootfs.mounts:
        mount(one.type, one.source, target, one.options)
    try:
        yield target
    finally:
        umount(target)


def state_of(root: Path) -> Path:
    return root / "state/image_store/overlay"


def leftovers(root: Path) -> list[str]:
    """What an empty store should not hold."""
    state = state_of(root)
    found = [p for p in state.rglob("*") if not p.is_dir() and p.parent != state]
    folders = [p for room in ("tmp", "trash", "containers", "l") for p in (state / room).iterdir()]
    return sorted(str(p.relative_to(state)) for p in [*found, *folders] if p.name != "empty")


def single(images: Any) -> ImageRecord:
    (image,) = images
    return image


Tree = dict[str, tuple[Any, ...]]


def tree(top: Path, *, mtimes: bool = True) -> Tree:
    """Each path with all that can be seen of it; the last item is the group of hard links it is in."""
    found: dict[bytes, os.stat_result] = {}
    base = os.fsencode(top)
    for folder, folders, files in os.walk(base):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            found[os.path.relpath(path, base)] = os.lstat(path)
    groups: dict[tuple[int, int], list[bytes]] = {}
    for path, st in found.items():
        groups.setdefault((st.st_dev, st.st_ino), []).append(path)
    result: Tree = {}
    for path, st in sorted(found.items()):
        real = os.path.join(base, path)
        content: object = None
        if stat.S_ISREG(st.st_mode):
            content = (st.st_size, hashlib.sha256(Path(os.fsdecode(real)).read_bytes()).hexdigest())
        elif stat.S_ISLNK(st.st_mode):
            content = os.readlink(real)
        attributes = {
            name: os.getxattr(real, name, follow_symlinks=False)
            for name in os.listxattr(real, follow_symlinks=False)
            if not name.startswith(("trusted.overlay", "user.overlay", "security.selinux"))
        }
        links = () if stat.S_ISDIR(st.st_mode) else tuple(sorted(groups[(st.st_dev, st.st_ino)]))
        result[os.fsdecode(path)] = (
            stat.filemode(st.st_mode),
            st.st_uid,
            st.st_gid,
            st.st_rdev if stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode) else 0,
            content,
            attributes,
            st.st_mtime_ns if mtimes else 0,
            links if len(links) > 1 else (),
        )
    return result
