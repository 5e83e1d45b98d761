"""Files of a container -> a tar, and a tar -> files of a container: Docker's names and rules around
`common/tree`, which does both without ever leaving what it was given."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from moby_components.common.inroot import open_in_root
from moby_components.common.tree.compression import plain
from moby_components.common.tree.dirs import OPEN_DIR, DirTree
from moby_components.common.tree.extract import Extractor, Rules
from moby_components.common.tree.header import Entry, TarReader
from moby_components.common.tree.pack import Packing, Write, end, pack, pack_below, pack_one
from moby_components.common.tree.source import Source
from moby_components.common.tree.unpack import ArchiveLimits
from moby_components.engine.moby.archives.paths import absolute, base
from moby_py.errors import InvalidArgument

_PLAIN = Packing(exact=False)
_WHAT = "the archive"


def pack_path(root: Path, path: str, write: Write) -> None:
    """The file itself, or the folder with all below it, under the last part of `path` ("/" and "." keep
    their form: Docker's clients rename by it). Raises OSError, DataError."""
    full = absolute(path)
    name = b"" if full == "/" else os.fsencode(base(full))
    fd = open_in_root(root, full, os.O_PATH | os.O_NOFOLLOW)
    with _held(fd):
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            top = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
            with _held(top):
                pack(top, write, name=name, packing=_PLAIN)
        else:
            parent = open_in_root(root, full.rpartition("/")[0], os.O_PATH | os.O_DIRECTORY)
            with _held(parent):
                pack_one(parent, name, write, shown=name, packing=_PLAIN)
    end(write)


def pack_root(root: Path, write: Write) -> None:
    """All of it with relative names, as `docker export` writes it."""
    top = os.open(root, OPEN_DIR)
    with _held(top):
        pack_below(top, write, packing=_PLAIN)
    end(write)


def unpack_into(
    root: Path,
    folder: str,
    data: Iterable[bytes],
    *,
    owner: tuple[int, int] | None,
    mix: bool,
    lenient: bool,
) -> None:
    """The archive, plain or compressed, below `folder` (absolute, in the container). A folder that is
    reached through a link lies where the link leads in the container; `lenient`: owners and devices
    that this user namespace does not allow become ours, or are left out. Raises DataError,
    InvalidArgument, OSError; what was unpacked until then stays."""

    def resolve(path: bytes) -> int:
        return open_in_root(root, f"{folder}/{os.fsdecode(path)}", os.O_RDONLY | os.O_DIRECTORY)

    limits = ArchiveLimits()
    rules = Rules(what=_WHAT, lenient=lenient, devices="skip" if lenient else "refuse", owner=owner, mix=mix)
    source = Source(plain(data, limits, _WHAT), _WHAT)
    top = open_in_root(root, folder, os.O_RDONLY | os.O_DIRECTORY)
    with DirTree(top, _WHAT, resolve) as tree:
        _Into(tree, rules, folder).run(TarReader(source, limits))
    source.drain()


class _Into(Extractor):
    def __init__(self, tree: DirTree, rules: Rules, folder: str) -> None:
        super().__init__(tree, rules)
        self._folder = folder

    def _directory(self, path: bytes, entry: Entry) -> None:
        with self._worded(path, "non-directory", "directory"):
            super()._directory(path, entry)

    def _replace(self, path: bytes) -> None:
        with self._worded(path, "directory", "non-directory"):
            super()._replace(path)

    @contextmanager
    def _worded(self, path: bytes, there: str, wanted: str) -> Iterator[None]:
        """The refusal of another kind in the words that clients know."""
        try:
            yield
        except InvalidArgument:
            where = posixpath.join(self._folder, os.fsdecode(path))
            raise InvalidArgument(
                f'cannot overwrite {there} "{where}" with {wanted} "{self._folder}"'
            ) from None

    def marks(self, path: bytes) -> bool:
        """An entry for the folder itself: it is there, and keeps its owner and mode, as with Docker."""
        return not path


@contextmanager
def _held(fd: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(fd)
