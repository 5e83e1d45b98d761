"""Make folders inside a container's root, as the container would see the path: no symbolic link gets
out, whatever the image holds. Opening is `inroot.open_in_root`'s affair."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from moby_components.common.inroot import open_in_root

_MOST_LINKS = 40


def make_dirs(root: Path, path: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0) -> int:
    """`mkdir -p` below `root`; returns an O_PATH descriptor of the last folder, which the caller closes.

    Existing folders are kept as they are; new ones are the given user's. What a link points at and
    is not there is made too. Raises OSError, such as NotADirectoryError where a file is in the way.
    """
    flags = os.O_PATH | os.O_DIRECTORY
    with contextlib.suppress(FileNotFoundError):
        return open_in_root(root, path, flags)
    links = 0
    parts = _parts(path)
    count = 0
    while count < len(parts):
        count += 1
        try:
            os.close(open_in_root(root, "/".join(parts[:count]), flags))
            continue
        except FileNotFoundError:
            pass
        parent = open_in_root(root, "/".join(parts[: count - 1]), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.mkdir(parts[count - 1], mode, dir_fd=parent)
            os.chown(parts[count - 1], uid, gid, dir_fd=parent, follow_symlinks=False)
        except FileExistsError:
            target = _link(parent, parts[count - 1])
            if target is None:
                continue  # made by somebody else meanwhile
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None
            before = [] if target.startswith("/") else parts[: count - 1]
            parts, count = [*before, *_parts(target), *parts[count:]], 0
        finally:
            os.close(parent)
    return open_in_root(root, path, flags)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _link(parent: int, name: str) -> str | None:
    try:
        return os.readlink(name, dir_fd=parent)
    except OSError:
        return None


def host_path(fd: int) -> str:
    """Where the file of a descriptor is on the host."""
    return str(Path(f"/proc/self/fd/{fd}").readlink())
