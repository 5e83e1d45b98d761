"""Paths inside a container's root, resolved as the container would: no symbolic link gets out.

openat2(2) with RESOLVE_IN_ROOT does it in the kernel (Linux 5.6): `..` and absolute links stop at
the root. Everything the engine does inside a root goes through descriptors opened here.
"""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS = 0x10, 0x02
_OPENAT2 = 437
_libc = ctypes.CDLL(None, use_errno=True)


def open_in_root(root: str | os.PathLike[str], path: str, flags: int = os.O_PATH, mode: int = 0) -> int:
    """A descriptor of `path` below `root`. Raises OSError (FileNotFoundError, ...)."""
    base = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        how = struct.pack("=QQQ", flags | os.O_CLOEXEC, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
        relative = os.fsencode(path.lstrip("/") or ".")
        fd = int(_libc.syscall(_OPENAT2, base, relative, how, len(how)))
        if fd < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), path)
        return fd
    finally:
        os.close(base)


def make_dirs(root: str | os.PathLike[str], path: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> int:
    """`mkdir -p` below `root`; returns an O_PATH descriptor of the directory. Existing ones are kept
    as they are. Raises NotADirectoryError where a file is in the way."""
    try:
        return open_in_root(root, path, os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        pass
    parts = [part for part in path.split("/") if part not in ("", ".")]
    for count in range(1, len(parts) + 1):
        here = "/".join(parts[:count])
        try:
            os.close(open_in_root(root, here, os.O_PATH | os.O_DIRECTORY))
            continue
        except FileNotFoundError:
            pass
        parent = open_in_root(root, "/".join(parts[: count - 1]), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.mkdir(parts[count - 1], mode, dir_fd=parent)
            os.chown(parts[count - 1], uid, gid, dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(parent)
    return open_in_root(root, path, os.O_PATH | os.O_DIRECTORY)


def host_path(fd: int) -> str:
    """Where a descriptor opened here is on the host."""
    return str(Path(f"/proc/self/fd/{fd}").readlink())
