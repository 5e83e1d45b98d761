"""A new volume gets what the image has at its place: owners, modes, times, xattrs, links and all."""

from __future__ import annotations

import os
from pathlib import Path

from moby_components.common.inroot import open_in_root
from moby_components.common.tree.copy import copy_tree


def populate(root: Path, target: str, volume: Path) -> bool:
    """Copy `target` of the root into the empty `volume`. False where there is nothing to copy or the
    volume is not empty any more. Blocking; follows no link out of the root."""
    try:
        source = open_in_root(root, target, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False  # the image has no folder there
    try:
        destination = os.open(volume, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with os.scandir(destination) as entries:
                if next(entries, None) is not None:
                    return False
            copy_tree(source, destination)
        finally:
            os.close(destination)
    finally:
        os.close(source)
    return True
