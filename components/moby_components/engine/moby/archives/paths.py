"""Paths in a container, by Docker's rules: what follows a link, what a trailing slash means, base names."""

from __future__ import annotations

import os
import posixpath
import stat
from pathlib import Path

from moby_components.common.inroot import open_in_root
from moby_components.common.rooted import host_path
from moby_py.model import PathStat

_MOST_LINKS = 40
_MAX_PATH = 4096


def absolute(path: str) -> str:
    """From "/" on and cleaned, but with its trailing "/" or "/." kept: it says "the folder's content"."""
    clean = posixpath.normpath("/" + path)
    clean = "/" + clean.lstrip("/")
    if path.endswith("/.") or path == ".":
        return posixpath.join(clean, ".")
    return posixpath.join(clean, "") if path.endswith("/") else clean


def base(path: str) -> str:
    """The last part as Go's filepath.Base says it: "/" of the root, "." of a path that ends in it."""
    return path.rstrip("/").rpartition("/")[2] or "/"


def path_stat(root: Path, path: str) -> PathStat:
    """The file itself, not what it links to, unless the path ends in a slash. Raises OSError."""
    full = absolute(path)
    fd = open_in_root(root, full, os.O_PATH | os.O_NOFOLLOW)
    try:
        found = os.fstat(fd)
    finally:
        os.close(fd)
    return PathStat(
        name=base(full),
        size=found.st_size,
        mode=found.st_mode,
        modified=found.st_mtime_ns / 1e9,
        link_target=target_of(root, full) if stat.S_ISLNK(found.st_mode) else "",
    )


def target_of(root: Path, path: str) -> str:
    """Where a link ends, as an absolute path in the container; for one that leads to nothing, as far
    as it leads. Raises OSError (ELOOP)."""
    for _ in range(_MOST_LINKS):
        parent = _real(root, posixpath.dirname(path))
        if parent is None:
            return path
        here = posixpath.join(parent, posixpath.basename(path))
        target = _link(root, here)
        if target is None:
            return here
        path = posixpath.normpath(posixpath.join(parent, target))
    return path


def _real(root: Path, path: str) -> str | None:
    """The folder that a path means, without links; None where there is none."""
    try:
        fd = open_in_root(root, path, os.O_PATH | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        return inside(root, fd)
    finally:
        os.close(fd)


def _link(root: Path, path: str) -> str | None:
    try:
        fd = open_in_root(root, path, os.O_PATH | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return os.readlink("", dir_fd=fd)
    except OSError:
        return None
    finally:
        os.close(fd)


def inside(root: Path, fd: int) -> str:
    """Where the file of a descriptor is, as the container names it."""
    return "/" + posixpath.relpath(host_path(fd), os.path.realpath(root)).removeprefix(".")
