"""How much a directory tree takes on the disk; never followed out of."""

from __future__ import annotations

import contextlib
import os


def tree_size(path: str | os.PathLike[str]) -> int:
    """Bytes of all files below `path`, a file with several names once; what cannot be read counts
    nothing. Blocking."""
    total = 0
    seen: set[tuple[int, int]] = set()
    try:
        for _, _, files, folder in os.fwalk(path):
            for name in files:
                with contextlib.suppress(OSError):
                    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
                    if found.st_nlink > 1:
                        if (found.st_dev, found.st_ino) in seen:
                            continue
                        seen.add((found.st_dev, found.st_ino))
                    total += found.st_size
    except OSError:
        return total
    return total
