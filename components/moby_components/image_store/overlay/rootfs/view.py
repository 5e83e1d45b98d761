"""Several layers looked at as one tree, without mounting anything.

Layers never change once they are in place, so paths are safe here: each step down is taken from a
directory that was seen to be one. (A container's own layer does change: see `changes`.)
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from moby_components.image_store.overlay.rootfs.marks import is_opaque, is_whiteout

_MAX_LINKS = 40


@dataclass(frozen=True, slots=True)
class Node:
    """One entry of the joined tree. `real` is where it is on the disk; `folders` are the directories
    that make it up, topmost first, where it is one."""

    real: bytes
    stat: os.stat_result
    folders: tuple[bytes, ...] = ()

    @property
    def is_dir(self) -> bool:
        return stat.S_ISDIR(self.stat.st_mode)


class View:
    """`layers`: directories, topmost first. None of them: an empty tree."""

    def __init__(self, layers: Sequence[bytes]) -> None:
        self.layers = tuple(layers)

    def root(self) -> Node | None:
        if not self.layers:
            return None
        return Node(self.layers[0], os.lstat(self.layers[0]), self.layers)

    def child(self, parent: Node, name: bytes) -> Node | None:
        """What the directory `parent` holds under this name."""
        first: Node | None = None
        folders: list[bytes] = []
        for folder in parent.folders:
            path = folder + b"/" + name
            try:
                found = os.lstat(path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            if is_whiteout(found, path):
                break
            if not stat.S_ISDIR(found.st_mode):
                if first is None:
                    return Node(path, found)
                break  # a file further down is covered by the directory above it
            if first is None:
                first = Node(path, found)
            folders.append(path)
            if is_opaque(path):
                break
        return None if first is None else Node(first.real, first.stat, tuple(folders))

    def names(self, parent: Node) -> list[bytes]:
        """What the directory holds, sorted."""
        seen: set[bytes] = set()
        for folder in parent.folders:
            seen.update(os.listdir(folder))  # noqa: PTH208 - bytes
        return sorted(name for name in seen if self.child(parent, name) is not None)

    def lookup(self, path: bytes) -> Node | None:
        """A path relative to the root, its symbolic links not followed; b"" is the root."""
        node = self.root()
        for part in path.split(b"/") if path else ():
            if node is None or not node.is_dir:
                return None
            node = self.child(node, part)
        return node

    def resolve(self, path: bytes) -> bytes:
        """The path with all symbolic links followed inside the root, as far as they lead anywhere.
        A ring of links is left where it was noticed."""
        todo = [part for part in path.split(b"/") if part not in (b"", b".")][::-1]
        done: list[bytes] = []
        links = 0
        while todo:
            part = todo.pop()
            if part == b"..":
                del done[-1:]
                continue
            node = self.lookup(b"/".join((*done, part)))
            if node is None or not stat.S_ISLNK(node.stat.st_mode) or links >= _MAX_LINKS:
                done.append(part)
                continue
            links += 1
            target = os.readlink(node.real)  # noqa: PTH115 - bytes
            if target.startswith(b"/"):
                done = []
            todo += [piece for piece in target.split(b"/") if piece not in (b"", b".")][::-1]
        return b"/".join(done)
