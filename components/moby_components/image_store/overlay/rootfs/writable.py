"""A container's own directory: an empty upper and work for overlayfs, or a copy of the whole image."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from moby_components.image_store.overlay.rootfs.copying import copy_attributes, copy_node
from moby_components.image_store.overlay.rootfs.view import Node, View

_OPEN_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def make_upper(folder: Path, top: Path | None, *, lenient: bool) -> None:
    """upper/ and work/ in `folder`. The root directory of the joined tree is the upper's, so it takes
    the attributes of the topmost layer's."""
    (folder / "work").mkdir(mode=0o700)
    _make_root(folder, "upper", os.fsencode(top) if top else b"", lenient=lenient)


def make_copy(folder: Path, view: View, *, lenient: bool) -> None:
    """root/ in `folder`: everything that the layers hold, hard links kept. Blocks for long."""
    root = view.root()
    _make_root(folder, "root", root.real if root else b"", lenient=lenient)
    if root is None:
        return
    descriptor = os.open(folder / "root", _OPEN_DIR)
    try:
        _Copy(view, descriptor, lenient).fill(root, descriptor, b"")
        copy_attributes(root.real, root.stat, descriptor, b".", lenient=lenient)
    finally:
        os.close(descriptor)


def _make_root(folder: Path, name: str, top: bytes, *, lenient: bool) -> None:
    made = folder / name
    made.mkdir(mode=0o755)
    made.chmod(0o755)
    if top:
        descriptor = os.open(folder, _OPEN_DIR)
        try:
            copy_attributes(top, os.lstat(top), descriptor, name.encode(), lenient=lenient)
        finally:
            os.close(descriptor)


class _Copy:
    def __init__(self, view: View, root: int, lenient: bool) -> None:
        self._view = view
        self._root = root
        self._lenient = lenient
        self._links: dict[tuple[int, int], bytes] = {}

    def fill(self, folder: Node, descriptor: int, path: bytes) -> None:
        for name in self._view.names(folder):
            node = self._view.child(folder, name)
            if node is None:
                continue
            here = path + b"/" + name if path else name
            if node.is_dir:
                os.mkdir(name, 0o700, dir_fd=descriptor)
                below = os.open(name, _OPEN_DIR, dir_fd=descriptor)
                try:
                    self.fill(node, below, here)
                    # Last: filling it changes its time, and a closed mode would keep an ordinary user out.
                    copy_attributes(node.real, node.stat, descriptor, name, lenient=self._lenient)
                finally:
                    os.close(below)
            else:
                self._leaf(node, descriptor, name, here)

    def _leaf(self, node: Node, descriptor: int, name: bytes, path: bytes) -> None:
        key = (node.stat.st_dev, node.stat.st_ino)
        if node.stat.st_nlink > 1 and not stat.S_ISDIR(node.stat.st_mode):
            if (first := self._links.get(key)) is not None:
                os.link(first, name, src_dir_fd=self._root, dst_dir_fd=descriptor, follow_symlinks=False)
                return
            self._links[key] = path
        copy_node(node.real, node.stat, descriptor, name, lenient=self._lenient)
