"""A platform as a directory, put in place by one rename."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from pathlib import Path

from moby_py.errors import MobyError
from moby_py.outputs.tree import Tree, beside, write_tree

MARKS = ("platform.yaml", "platform.lock")
AT_FDCWD, RENAME_EXCHANGE = -100, 2


class DirectoryOutput:
    """Replaces an older platform, and nothing else."""

    def check(self, out: Path) -> None:
        if not out.exists() and not out.is_symlink():
            return
        if out.is_dir() and (all((out / mark).is_file() for mark in MARKS) or not any(out.iterdir())):
            return
        what = "is a directory with other things in it" if out.is_dir() else "is not a directory"
        raise MobyError(
            f"{out} {what} - build replaces nothing but a platform it wrote before",
            hint="name another directory with -o, or move this one away",
        )

    def read(self, out: Path, name: str) -> bytes:
        try:
            return (out / name).read_bytes()
        except OSError as error:
            raise MobyError(
                f"there is no {out / name} to compare with - {error.strerror}",
                hint=f"build once without --locked, or put the {name} you want to keep to there",
            ) from error

    def write(self, files: Tree, out: Path, *, complete: Callable[[Path], None]) -> None:
        place = out.resolve() if out.is_symlink() else out
        with beside(place) as temporary:
            temporary.chmod(0o755)
            write_tree(files, temporary)
            complete(temporary)
            self.check(out)  # it may have changed while we worked
            if place.is_dir() and any(place.iterdir()):
                _exchange(temporary, place)  # the older platform is removed with the temporary name
            else:
                temporary.rename(place)


def _exchange(new: Path, old: Path) -> None:
    """Swap two directories; where the kernel cannot do it in one step, in two."""
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "renameat2"):
        if not libc.renameat2(AT_FDCWD, bytes(new), AT_FDCWD, bytes(old), RENAME_EXCHANGE):
            return
        code = ctypes.get_errno()
        if code not in (errno.EINVAL, errno.ENOSYS):
            raise OSError(code, os.strerror(code))
    aside = new.with_suffix(".old")
    old.rename(aside)
    new.rename(old)
    aside.rename(new)
