"""What a layer meant by the layers below it, carried out once those are in place.

Layers are unpacked side by side, each into its own empty directory; few entries need to know what is
below. A directory that the archive does not mention keeps the attributes it has below. A hard link
to a file below copies that file up first, as overlayfs itself would. A path that leads through a
symbolic link below (lib/x where lib -> usr/lib) lands where the link points. Whiteouts are made only
where there is something to hide.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from moby_components.common.tree.dirs import OPEN_DIR, DirTree
from moby_components.common.tree.names import show
from moby_components.image_store.overlay.rootfs import marks
from moby_components.image_store.overlay.rootfs.copying import copy_attributes, copy_node
from moby_components.image_store.overlay.rootfs.view import View
from moby_components.image_store.overlay.unpack.extract import failed, link
from moby_components.image_store.overlay.unpack.facts import Facts
from moby_py.errors import DataError


def rebase(layer: Path, below: View, facts: Facts, *, prefix: str, what: str, lenient: bool) -> list[bytes]:
    """Finish the unpacked `layer` on top of `below`; returns its opaque directories.

    `prefix` is where overlayfs keeps its attributes here. Blocks; a layer that fails is thrown away
    by the caller.
    """
    try:
        with DirTree(os.open(layer, OPEN_DIR), what) as tree:
            return _Rebase(tree, below, prefix, what, lenient).run(facts)
    except OSError as error:
        raise failed(what, error) from error


class _Rebase:
    def __init__(self, tree: DirTree, below: View, prefix: str, what: str, lenient: bool) -> None:
        self.tree = tree
        self.below = below
        self.prefix = prefix
        self.what = what
        self.lenient = lenient
        self.moved: list[tuple[bytes, bytes]] = []
        self.raised: dict[bytes, bytes] = {}

    def run(self, facts: Facts) -> list[bytes]:
        for path in facts.implicit:
            self._implicit(self._now(path))
        gone = {self._now(path) for path in facts.whiteouts}
        for name, target in facts.links:
            self._link(self._now(name), self._now(target), gone)
        opaque = self._opaque(facts)
        self._whiteouts(facts, opaque)
        for path in sorted(self.tree.implicit, key=lambda p: p.count(b"/"), reverse=True):
            self._attributes(path)
        return sorted(opaque)

    def _implicit(self, path: bytes) -> None:
        found = self.below.lookup(path)
        if found is not None and stat.S_ISLNK(found.stat.st_mode):
            target = self.below.resolve(path)
            if target and target != path and self._is_or_may_be_directory(target):
                self._move(path, target)
                return
        self.tree.directory(path)
        self.tree.implicit.add(path)

    def _is_or_may_be_directory(self, path: bytes) -> bool:
        found = self.below.lookup(path)
        return found is None or found.is_dir

    def _attributes(self, path: bytes) -> None:
        """Of a directory that the archive does not mention: as below, else plain and root's."""
        found = self.below.lookup(path)
        if found is not None and found.is_dir:
            if not path:
                self._root_attributes(found.real, found.stat)
                return
            parent, name = self.tree.locate(path)
            copy_attributes(found.real, found.stat, parent, name, lenient=self.lenient)
            return
        descriptor = self.tree.directory(path)
        os.fchmod(descriptor, 0o755)
        os.utime(descriptor, ns=(0, 0))

    def _root_attributes(self, real: bytes, found: os.stat_result) -> None:
        descriptor = self.tree.directory(b"")
        os.fchmod(descriptor, stat.S_IMODE(found.st_mode))
        os.fchown(descriptor, found.st_uid, found.st_gid)
        os.utime(descriptor, ns=(found.st_atime_ns, found.st_mtime_ns))

    def _link(self, path: bytes, target: bytes, gone: set[bytes]) -> None:
        """What `target` was when the archive said so: the file below, whatever this layer puts under
        that name later. Where it puts nothing there, both names are one file afterwards."""
        first = self.raised.get(target)
        if first is None:
            found = self.below.lookup(target)
            if found is None:
                target = self.below.resolve(target)
                found = self.below.lookup(target)
            if found is None or found.is_dir:
                raise DataError(
                    f"cannot unpack {self.what} - {show(path)} is a hard link to {show(target)}, not there"
                )
            first = path if target in gone or self.tree.lstat(target) else target
            with _Times(self.tree, first):
                self.tree.remove(path)
                parent, name = self.tree.locate(first, create=True)
                copy_node(found.real, found.stat, parent, name, lenient=self.lenient)
            self.raised[target] = self.raised[path] = first
        if first != path:
            self.raised[path] = first
            with _Times(self.tree, path):
                self.tree.remove(path)
                link(self.tree, first, path)

    def _opaque(self, facts: Facts) -> set[bytes]:
        opaque: set[bytes] = set()
        for recorded in facts.opaque:
            path = self._now(recorded)
            self._hide(path, opaque)
        return opaque

    def _hide(self, path: bytes, opaque: set[bytes]) -> None:
        found = self.below.lookup(path)
        if found is not None and found.is_dir:
            marks.make_opaque(self.tree.directory(path), self.prefix)
            opaque.add(path)

    def _whiteouts(self, facts: Facts, opaque: set[bytes]) -> None:
        for recorded in facts.whiteouts:
            path = self._now(recorded)
            if self.below.lookup(path) is None or _within(path, opaque):
                continue
            found = self.tree.lstat(path)
            if found is None:
                with _Times(self.tree, path):
                    parent, name = self.tree.locate(path)
                    marks.whiteout(name, parent)
            elif stat.S_ISDIR(found.st_mode):
                self._hide(path, opaque)

    def _move(self, path: bytes, target: bytes) -> None:
        """Lay the content of the directory `path` over `target` and remove it."""
        self.moved.append((path, target))
        self.tree.directory(target, create=True)
        with _Times(self.tree, target + b"/x"), _Times(self.tree, path):
            self._merge(path, target)

    def _merge(self, path: bytes, target: bytes) -> None:
        for name in os.listdir(self.tree.directory(path)):  # noqa: PTH208 - a descriptor has no Path
            old, new = path + b"/" + os.fsencode(name), target + b"/" + os.fsencode(name)
            there, ours = self.tree.lstat(new), self.tree.lstat(old)
            if there and ours and stat.S_ISDIR(there.st_mode) and stat.S_ISDIR(ours.st_mode):
                self._merge(old, new)
                continue
            self.tree.remove(new)
            self.tree.forget(old)
            kept = os.dup(self.tree.directory(target, create=True))
            try:
                source = self.tree.directory(path)
                os.rename(name, name, src_dir_fd=source, dst_dir_fd=kept)
            finally:
                os.close(kept)
        self.tree.remove(path)

    def _now(self, path: bytes) -> bytes:
        """Where an entry is after the moves so far."""
        for old, new in self.moved:
            if path == old or path.startswith(old + b"/"):
                path = new + path[len(old) :]
        return path


def _within(path: bytes, folders: set[bytes]) -> bool:
    while path:
        path = path.rpartition(b"/")[0]
        if path in folders:
            return True
    return False


class _Times:
    """The directory that holds `path` keeps its modification time, whatever is done in it."""

    def __init__(self, tree: DirTree, path: bytes) -> None:
        self._tree = tree
        self._parent = path.rpartition(b"/")[0]
        self._times: tuple[int, int] | None = None

    def __enter__(self) -> None:
        found = self._tree.lstat(self._parent)
        if found is not None:
            self._times = (found.st_atime_ns, found.st_mtime_ns)

    def __exit__(self, *_: object) -> None:
        if self._times is not None and self._tree.lstat(self._parent) is not None:
            os.utime(self._tree.directory(self._parent), ns=self._times)
