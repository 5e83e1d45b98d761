"""Deleting trees of any depth: renamed away at once, taken apart afterwards.

A container may leave a tree that is deeper than a path can be long or Python can recurse. Directories
are therefore not descended into but moved up beside each other, so that each one is a flat one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import stat
from pathlib import Path

_OPEN_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Trash:
    """`folder` is on the disk of everything thrown into it."""

    def __init__(self, folder: Path, log: logging.Logger) -> None:
        self._folder = folder
        self._log = log

    def throw(self, path: Path) -> bool:
        """Take a tree out of the way: one rename. False where there was nothing."""
        try:
            path.rename(self._folder / secrets.token_hex(8))
        except FileNotFoundError:
            return False
        return True

    def empty(self) -> None:
        """Delete what was thrown away. Blocks; for a thread. What cannot be deleted now (an immutable
        file, a directory that is still a mount) is logged and tried again the next time."""
        try:
            root = os.open(self._folder, _OPEN_DIR)
        except FileNotFoundError:
            return
        try:
            failed: set[str] = set()
            while names := [name for name in os.listdir(root) if name not in failed]:  # noqa: PTH208
                for name in names:
                    try:
                        _delete(root, name)
                    except FileNotFoundError:
                        continue  # another thread empties the same bin
                    except OSError as error:
                        failed.add(name)
                        self._log.warning("cannot delete %s/%s: %s", self._folder, name, error.strerror)
        finally:
            os.close(root)


def _delete(root: int, name: str) -> None:
    """One entry of the bin; directories below it end up beside it."""
    if not stat.S_ISDIR(os.stat(name, dir_fd=root, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=root)
        return
    folder = _open(root, name)
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.name, dir_fd=folder)
                    continue
                with contextlib.suppress(OSError):
                    os.rmdir(entry.name, dir_fd=folder)
                    continue
                _move_up(root, folder, entry.name)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=root)


def _move_up(root: int, folder: int, name: str) -> None:
    target = secrets.token_hex(8)
    try:
        os.rename(name, target, src_dir_fd=folder, dst_dir_fd=root)
    except PermissionError:
        # Moving a directory changes its `..`: an ordinary user needs write permission on it.
        os.chmod(name, 0o700, dir_fd=folder)
        os.rename(name, target, src_dir_fd=folder, dst_dir_fd=root)


def _open(root: int, name: str) -> int:
    try:
        return os.open(name, _OPEN_DIR, dir_fd=root)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=root)
        return os.open(name, _OPEN_DIR, dir_fd=root)
