"""A little of the state's file system kept back, so that a platform opens where the disk is full.

Databases cannot even be opened without room, and what makes room again is removing containers and
images: which needs an open platform.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

SIZE = 1 << 20
NAME = ".reserve"


def give_back(state: Path) -> None:
    """Before the components open."""
    with contextlib.suppress(OSError):
        (state / NAME).unlink(missing_ok=True)


def keep_back(state: Path) -> None:
    """Once they are open. Where there is no room for it, there will be another time."""
    path = state / NAME
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.posix_fallocate(handle, 0, SIZE)
        finally:
            os.close(handle)
    except OSError:
        give_back(state)
