"""What a container changed against its image.

The container may be running and may swap a directory for a symbolic link while we look, so its own
tree is walked through descriptors only. With overlayfs that tree is the upper directory, which holds
just what changed; with copies it is the whole root, compared entry by entry.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from moby_components.common.tree.attributes import xattrs
from moby_components.image_store.overlay.rootfs import marks
from moby_components.image_store.overlay.rootfs.view import Node, View
from moby_py.errors import DataError
from moby_py.model import Change

MODIFIED, ADDED, DELETED = 0, 1, 2
_MAX_DEPTH = 400
"""One descriptor is open per level."""
_OPEN_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CAPABILITY = "security.capability"


@dataclass(frozen=True, slots=True)
class Delta:
    """One entry in which the trees differ. `directory` is open while the delta is looked at; for a
    deletion there is no `stat`. `kind` None: a directory on the way to a change, itself unchanged."""

    path: bytes
    kind: int | None
    stat: os.stat_result | None
    directory: int


def deltas(own: Path, below: View, *, whole: bool) -> Iterator[Delta]:
    """Parents before children. `own` is the container's upper directory, or its `whole` root."""
    descriptor = os.open(own, _OPEN_DIR)
    try:
        root = below.root()
        yield Delta(b"", None, os.fstat(descriptor), descriptor)
        yield from _Walk(below, whole).folder(descriptor, b"", root, 0)
    finally:
        os.close(descriptor)


def list_changes(own: Path, below: View, *, whole: bool) -> list[Change]:
    """docker diff: sorted by path; a directory in which something changed counts as changed."""
    found: dict[bytes, int] = {}
    for delta in deltas(own, below, whole=whole):
        if delta.kind is None:
            continue
        found[delta.path] = delta.kind
        parent = delta.path.rpartition(b"/")[0]
        while parent and parent not in found:
            found[parent] = MODIFIED
            parent = parent.rpartition(b"/")[0]
    return [Change(path="/" + os.fsdecode(path), kind=found[path]) for path in sorted(found)]


class _Walk:
    def __init__(self, below: View, whole: bool) -> None:
        self._below = below
        self._whole = whole

    def folder(self, directory: int, path: bytes, old: Node | None, depth: int) -> Iterator[Delta]:
        """`old` is the directory of the same path in the image; None where it has none."""
        if depth > _MAX_DEPTH:
            raise DataError(f"cannot look at the container's files - directories {depth} deep")
        names = sorted(os.fsencode(name) for name in os.listdir(directory))
        if old is not None and (self._whole or marks.is_opaque(directory)):
            ours = set(names)
            for name in self._below.names(old):
                if name not in ours:
                    yield Delta(_join(path, name), DELETED, None, directory)
        for name in names:
            try:
                found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                continue  # the container goes on meanwhile
            yield from self._entry(directory, name, _join(path, name), found, old, depth)

    def _entry(
        self, directory: int, name: bytes, path: bytes, found: os.stat_result, parent: Node | None, depth: int
    ) -> Iterator[Delta]:
        real = b"/proc/self/fd/%d/%s" % (directory, name)
        old = self._below.child(parent, name) if parent is not None else None
        if not self._whole and marks.is_whiteout(found, real):
            if old is not None:
                yield Delta(path, DELETED, None, directory)
            return
        kind = ADDED if old is None else (MODIFIED if self._differs(old, found, real) else None)
        is_dir = stat.S_ISDIR(found.st_mode)
        if kind is not None or is_dir:
            yield Delta(path, kind, found, directory)
        if is_dir:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                descriptor = os.open(name, _OPEN_DIR, dir_fd=directory)
                try:
                    lower = old if old is not None and old.is_dir else None
                    yield from self.folder(descriptor, path, lower, depth + 1)
                finally:
                    os.close(descriptor)

    def _differs(self, old: Node, new: os.stat_result, real: bytes) -> bool:
        """Docker's rule: a directory's size and time do not count."""
        was = old.stat
        if (was.st_mode, was.st_uid, was.st_gid, was.st_rdev) != (
            new.st_mode,
            new.st_uid,
            new.st_gid,
            new.st_rdev,
        ):
            return True
        if old.is_dir:
            return False
        if (was.st_size, was.st_mtime_ns) != (new.st_size, new.st_mtime_ns):
            return True
        return xattrs(old.real).get(_CAPABILITY) != xattrs(real).get(_CAPABILITY)


def _join(path: bytes, name: bytes) -> bytes:
    return path + b"/" + name if path else name
