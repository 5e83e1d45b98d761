"""The size of a directory tree: looked at in a thread, never followed out of."""

from __future__ import annotations

import asyncio
import contextlib
import os


async def tree_size(path: str) -> int:
    """Bytes of all files below `path`; 0 where it cannot be read."""
    return await asyncio.to_thread(_measure, path)


def _measure(path: str) -> int:
    total = 0
    try:
        for _, _, files, folder in os.fwalk(path):
            for name in files:
                with contextlib.suppress(OSError):
                    total += os.stat(name, dir_fd=folder, follow_symlinks=False).st_size
    except OSError:
        return total
    return total
