"""Chunks of any size, read as exactly as a tar reader needs them, without copying file data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from moby_py.errors import DataError


class Source:
    """A byte stream made of chunks. `what` names it in errors."""

    def __init__(self, chunks: Iterable[bytes], what: str) -> None:
        self._chunks = iter(chunks)
        self._view = memoryview(b"")
        self.what = what

    def take(self, count: int) -> bytes:
        """Exactly `count` bytes; b"" at a clean end; DataError for an end in the middle."""
        view = self._view
        if len(view) >= count:
            self._view = view[count:]
            return bytes(view[:count])
        parts = list(self.pieces(count, eof_ok=True))
        data = b"".join(parts)
        if data and len(data) < count:
            raise self.truncated()
        return data

    def pieces(self, count: int, *, eof_ok: bool = False) -> Iterator[memoryview]:
        """`count` bytes in whatever pieces are at hand."""
        while count:
            if not len(self._view):
                chunk = next(self._chunks, None)
                if chunk is None:
                    if eof_ok:
                        return
                    raise self.truncated()
                self._view = memoryview(chunk)
                continue
            piece = self._view[:count]
            self._view = self._view[len(piece) :]
            count -= len(piece)
            yield piece

    def skip(self, count: int) -> None:
        for _ in self.pieces(count):
            pass

    def drain(self) -> None:
        """Read to the end: the digest covers what follows the last entry too."""
        self._view = memoryview(b"")
        for _ in self._chunks:
            pass

    def truncated(self) -> DataError:
        return DataError(f"cannot read {self.what} - the tar ends in the middle of an entry")
