"""What a container binds, held fast: the file that was looked at is mounted on a place of ours, and its
runtime is given that place. Nobody who may write above the source can swap it in between.

    RUN/stage/CONTAINER/0, 1, ...    from the start until the runtime has made its own mounts
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from moby_components.common import mounts
from moby_py.errors import Unsupported
from moby_py.model import FsMount

_MOUNT_SETATTR = 442
_AT_RECURSIVE = 0x8000
_RDONLY = 1
_libc = ctypes.CDLL(None, use_errno=True)


class _Attributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns", ctypes.c_uint64),
    )


class Stage:
    """The places of one container. Blocking, like all that mounts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def bind(self, source: int, *, recursive: bool = True, deep: str = "no", slave: bool = False) -> Path:
        """A place that shows the file or folder of a descriptor (O_PATH will do). `deep`: "must" or ""
        make all mounts in it read-only, "" where the kernel can. With `slave` mounts that are made at
        the source later still arrive. Raises OSError, Unsupported."""
        place = self._place(folder=stat.S_ISDIR(os.fstat(source).st_mode))
        how = ("rbind" if recursive else "bind", "rslave" if slave else "rprivate")
        mounts.mount("bind", f"/proc/self/fd/{source}", place, how)
        if deep != "no" and recursive:
            try:
                _read_only(place)
            except OSError as error:
                if error.errno != errno.ENOSYS:
                    raise
                if deep == "must":
                    raise Unsupported(
                        "the kernel cannot make all mounts of a tree read-only (Linux 5.12 can)"
                    ) from None
        return place

    def mount(self, parts: Sequence[FsMount]) -> Path:
        """A place with these mounts over each other."""
        place = self._place(folder=True)
        for part in parts:
            mounts.mount(part.type, part.source, place, part.options)
        return place

    def _place(self, *, folder: bool) -> Path:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        place = self._folder / str(self._count)
        self._count += 1
        if folder:
            place.mkdir(mode=0o700)
        else:
            place.touch(mode=0o600)
        return place


def withdraw(folder: Path) -> None:
    """All of a container's places go; its own mounts stay. Blocking; idempotent.

    Made private first: to unmount a tree that shares its mounts with the source would unmount there too.
    """
    if not folder.is_dir():
        return
    for place in folder.iterdir():
        for _ in range(100):
            with contextlib.suppress(OSError):
                mounts.spread(place, "rprivate")
            if not mounts.umount(place, lazy=True):
                break
        with contextlib.suppress(OSError):
            place.rmdir() if place.is_dir() else place.unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()


def _read_only(place: Path) -> None:
    wanted = _Attributes(_RDONLY, 0, 0, 0)
    done = _libc.syscall(
        _MOUNT_SETATTR, -100, os.fsencode(place), _AT_RECURSIVE, ctypes.byref(wanted), ctypes.sizeof(wanted)
    )
    if done != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(place))
