"""A tar in a file, looked into by name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

from moby_components.common.tree import header
from moby_components.common.tree.compression import compression_of
from moby_components.common.tree.header import TarReader
from moby_components.common.tree.limits import Limits
from moby_components.common.tree.names import clean, show
from moby_components.common.tree.source import Source
from moby_components.image_store.overlay.content.blobs import MAX_DOCUMENT
from moby_components.image_store.overlay.unpack.inflate import Inflater
from moby_py.errors import DataError

_CHUNK = 1 << 20
_MAX_MEMBERS = 100_000
_MAX_LINKS = 8


@dataclass(frozen=True, slots=True)
class Piece:
    """Where a member's data is. With `link` it is another member's."""

    offset: int
    size: int
    link: bytes = b""


class TarFile:
    """Takes the descriptor over. `scan` reads the headers only; blocks, so does everything else."""

    def __init__(self, descriptor: int, what: str) -> None:
        self._descriptor = descriptor
        self.what = what
        self._members: dict[bytes, Piece] = {}

    def __enter__(self) -> TarFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def inflate(self, folder: os.PathLike[str], limits: Limits) -> None:
        """Where the whole tar is compressed: plain from here on, in another nameless file."""
        if not compression_of(os.pread(self._descriptor, 6, 0)):
            return
        plain = os.open(folder, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(os.dup(self._descriptor), "rb", buffering=0) as raw:
                inflater = Inflater(raw, limits, self.what)
                try:
                    for chunk in inflater:
                        view = memoryview(chunk)
                        while view:
                            view = view[os.write(plain, view) :]
                finally:
                    inflater.close()
        except BaseException:
            os.close(plain)
            raise
        os.close(self._descriptor)
        self._descriptor = plain

    def scan(self) -> None:
        """Learn the members. Raises DataError for what is not a tar."""
        source = _FileSource(self._descriptor, self.what)
        for entry in TarReader(source, Limits(entries=_MAX_MEMBERS)):
            name = clean(entry.name, self.what)
            if entry.type == header.REGULAR and entry.sparse is None:
                self._members[name] = Piece(source.position, entry.size)
            elif entry.type == header.HARDLINK:
                self._members[name] = Piece(0, 0, clean(entry.link, self.what))
            elif entry.type == header.SYMLINK:
                # docker save before 25 writes ../ID/layer.tar for a layer that it has written before.
                folder = name.rpartition(b"/")[0]
                self._members[name] = Piece(0, 0, _normal(folder + b"/" + entry.link))

    def __contains__(self, name: str) -> bool:
        return name.encode() in self._members

    def size(self, name: str) -> int:
        return self._find(name).size

    def read(self, name: str) -> bytes:
        """A document. Raises DataError where it is missing or too large."""
        piece = self._find(name)
        if piece.size > MAX_DOCUMENT:
            raise DataError(f"cannot load {self.what} - {name} is too large for a document")
        return b"".join(self._pieces(piece))

    def chunks(self, name: str) -> Iterator[bytes]:
        return self._pieces(self._find(name))

    def compression(self, name: str) -> str:
        return compression_of(os.pread(self._descriptor, 6, self._find(name).offset))

    def _find(self, name: str) -> Piece:
        key = clean(name.encode("utf-8", "surrogateescape"), self.what)
        for _ in range(_MAX_LINKS):
            piece = self._members.get(key)
            if piece is None:
                break
            if not piece.link:
                return piece
            key = piece.link
        raise DataError(
            f"cannot load {self.what} - {show(name.encode('utf-8', 'surrogateescape'))} is missing in it"
        )

    def _pieces(self, piece: Piece) -> Iterator[bytes]:
        position, end = piece.offset, piece.offset + piece.size
        while position < end:
            data = os.pread(self._descriptor, min(_CHUNK, end - position), position)
            if not data:
                raise DataError(f"cannot load {self.what} - the tar ends in the middle of an entry")
            position += len(data)
            yield data


class _FileSource(Source):
    """The reader's source, seeking over data instead of reading it."""

    def __init__(self, descriptor: int, what: str) -> None:
        super().__init__((), what)
        self._descriptor = descriptor
        self._end = os.fstat(descriptor).st_size
        self.position = 0

    def take(self, count: int) -> bytes:
        data = os.pread(self._descriptor, count, self.position)
        self.position += len(data)
        if data and len(data) < count:
            raise self.truncated()
        return data

    def skip(self, count: int) -> None:
        self.position += count
        if self.position > self._end:
            raise self.truncated()

    def pieces(self, count: int, *, eof_ok: bool = False) -> Iterator[memoryview]:
        data = self.take(count)
        if len(data) < count and not eof_ok:
            raise self.truncated()
        yield memoryview(data)


def _normal(path: bytes) -> bytes:
    parts: list[bytes] = []
    for part in path.split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts)
