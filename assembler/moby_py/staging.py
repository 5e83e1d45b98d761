"""Filling a folder all at once, for volume drivers that have no better way."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

from moby_py.errors import Conflict

PREFIX = ".moby-py-staging-"


async def fill_within(folder: Path, work: Callable[[Path], Awaitable[None]]) -> None:
    """`work` fills a folder inside of `folder`; when it returns, what it made is moved up, and the mode,
    owner and times of its folder are given to `folder`. Raises Conflict where `folder` holds data, and
    what `work` raises, leaving nothing. What an earlier, killed call left is removed first."""
    for left in folder.glob(f"{PREFIX}*"):
        await asyncio.to_thread(shutil.rmtree, left, True)
    if any(folder.iterdir()):
        raise Conflict("the volume holds data - only an empty one can be filled")
    stage = folder / f"{PREFIX}{secrets.token_hex(8)}"
    stage.mkdir(mode=0o700)
    try:
        await work(stage)
        await asyncio.to_thread(_move_up, stage, folder)
    except BaseException:
        await asyncio.to_thread(shutil.rmtree, stage, True)
        raise


def _move_up(stage: Path, folder: Path) -> None:
    found = stage.stat()
    for path in list(stage.iterdir()):
        path.rename(folder / path.name)
    stage.rmdir()
    if os.geteuid() == 0:
        os.chown(folder, found.st_uid, found.st_gid)
    folder.chmod(stat.S_IMODE(found.st_mode))
    os.utime(folder, ns=(found.st_atime_ns, found.st_mtime_ns))
