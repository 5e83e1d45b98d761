"""Make folders inside a container's root, as the container would see the path: no symbolic link gets
out, whatever the image holds. Opening is `inroot.open_in_root`'s affair."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from moby_components.common.inroot import open_in_root


def make_dirs(root: Path, path: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0) -> int:
    """`mkdir -p` below `root`; returns an O_PATH descriptor of the last folder, which the caller closes.

    Existing folders are kept as they are; new ones are the given user's. Raises OSError, such as
    NotADirectoryError where a file is in the way.
    """
    flags = os.O_PATH | os.O_DIRECTORY
    with contextlib.suppress(FileNotFoundError):
        return open_in_root(root, path, flags)
    parts = [part for part in path.split("/") if part not in ("", ".")]
    for count in range(1, len(parts) + 1):
        here = "/".join(parts[:count])
        try:
            os.close(open_in_root(root, here, flags))
            continue
        except FileNotFoundError:
            pass
        parent = open_in_root(root, "/".join(parts[: count - 1]), os.O_RDONLY | os.O_DIRECTORY)
        try:
            with contextlib.suppress(FileExistsError):  # a dangling link, told by the next open
                os.mkdir(parts[count - 1], mode, dir_fd=parent)
                os.chown(parts[count - 1], uid, gid, dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(parent)
    return open_in_root(root, path, flags)


def host_path(fd: int) -> str:
    """Where the file of a descriptor is on the host."""
    return str(Path(f"/proc/self/fd/{fd}").readlink())
