"""A new volume gets what the image has at its place: owners, modes, times, xattrs, links and all."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from pathlib import Path

from moby_components.common.inroot import open_in_root


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
            _copy_tree(source, destination, {})
        finally:
            os.close(destination)
    finally:
        os.close(source)
    return True


def _copy_tree(source: int, destination: int, links: dict[tuple[int, int], str]) -> None:
    """Everything in one folder; the folder's own attributes last, since copying changes its times."""
    with os.scandir(source) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        seen = os.stat(name, dir_fd=source, follow_symlinks=False)
        key = (seen.st_dev, seen.st_ino)
        if stat.S_ISDIR(seen.st_mode):
            os.mkdir(name, 0o700, dir_fd=destination)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            inner, made = os.open(name, flags, dir_fd=source), os.open(name, flags, dir_fd=destination)
            try:
                _copy_tree(inner, made, links)
            finally:
                os.close(inner)
                os.close(made)
            continue
        if seen.st_nlink > 1 and key in links:
            # A descriptor's folder by its name: hard links are made by path, also across folders.
            os.link(links[key], f"/proc/self/fd/{destination}/{name}", follow_symlinks=False)
            continue
        if stat.S_ISREG(seen.st_mode):
            _copy_file(name, source, destination)
        elif stat.S_ISLNK(seen.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=destination)
        else:
            with contextlib.suppress(PermissionError):  # device nodes in a user namespace
                os.mknod(name, seen.st_mode, seen.st_rdev, dir_fd=destination)
        _attributes(name, source, destination, seen)
        if seen.st_nlink > 1:
            links[key] = f"{Path(f'/proc/self/fd/{destination}').readlink()}/{name}"
    _folder_attributes(source, destination)


def _copy_file(name: str, source: int, destination: int) -> None:
    reading = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=source)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with (
        os.fdopen(reading, "rb") as original,
        os.fdopen(os.open(name, flags, 0o600, dir_fd=destination), "wb") as copy,
    ):
        shutil.copyfileobj(original, copy, 1 << 20)


def _attributes(name: str, source: int, destination: int, seen: os.stat_result) -> None:
    with contextlib.suppress(FileNotFoundError):
        with contextlib.suppress(PermissionError):  # an owner that this user namespace does not know
            os.chown(name, seen.st_uid, seen.st_gid, dir_fd=destination, follow_symlinks=False)
        _xattrs(f"/proc/self/fd/{source}/{name}", f"/proc/self/fd/{destination}/{name}")
        if not stat.S_ISLNK(seen.st_mode):
            Path(f"/proc/self/fd/{destination}/{name}").chmod(stat.S_IMODE(seen.st_mode))
        os.utime(name, ns=(seen.st_atime_ns, seen.st_mtime_ns), dir_fd=destination, follow_symlinks=False)


def _folder_attributes(source: int, destination: int) -> None:
    seen = os.fstat(source)
    with contextlib.suppress(PermissionError):
        os.fchown(destination, seen.st_uid, seen.st_gid)
    _xattrs(f"/proc/self/fd/{source}/.", f"/proc/self/fd/{destination}/.")
    os.fchmod(destination, stat.S_IMODE(seen.st_mode))
    os.utime(destination, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def _xattrs(source: str, destination: str) -> None:
    with contextlib.suppress(OSError):
        for key in os.listxattr(source, follow_symlinks=False):
            if not key.startswith(("trusted.overlay.", "user.overlay.")):
                with contextlib.suppress(OSError):
                    value = os.getxattr(source, key, follow_symlinks=False)
                    os.setxattr(destination, key, value, follow_symlinks=False)
