"""Compressed bytes in, plain bytes out: gzip, zstd, xz, bzip2 or none, told apart by their magic."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any

from moby_components.common.tree.limits import Limits
from moby_py.errors import DataError, MobyError

CHUNK = 1 << 20

MAGICS: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"BZh", "bzip2"),
)


def compression_of(head: bytes) -> str:
    """The name of the compression that begins with these bytes, "" for none.

    >>> compression_of(b"\\x1f\\x8b\\x08")
    'gzip'
    """
    if len(head) >= 4 and head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F:
        return "zstd"  # a skippable frame first, as zstd:chunked writes
    return next((name for magic, name in MAGICS if head.startswith(magic)), "")


def open_plain(raw: Any, compression: str) -> Any:
    """A binary reader of the plain bytes. Each decoder has read errors of its own."""
    if compression == "gzip":
        from isal import igzip

        return igzip.IGzipFile(fileobj=raw, mode="rb")  # type: ignore[no-untyped-call]
    if compression == "zstd":
        try:
            from compression import zstd  # type: ignore[import-not-found,unused-ignore]
        except ImportError:
            from backports import zstd
        # 128 MiB is what every decoder in the field allows (RFC 8878 asks for 8 MiB at least).
        return zstd.ZstdFile(raw, options={zstd.DecompressionParameter.window_log_max: 27})
    if compression == "xz":
        import lzma

        return lzma.LZMAFile(raw)
    if compression == "bzip2":
        import bz2

        return bz2.BZ2File(raw)
    return raw


def plain(chunks: Iterable[bytes], limits: Limits, what: str) -> Iterator[bytes]:
    """The plain bytes of a stream, judged by the limits before anyone sees them. Raises DataError;
    errors that `chunks` raises come through as they are."""
    raw = _Raw(chunks)
    compression = compression_of(raw.peek(6))
    reader = open_plain(raw, compression)
    size = 0
    while True:
        try:
            chunk = reader.read(CHUNK)
        except (MemoryError, MobyError):
            raise
        except Exception as error:
            if raw.failure is not None:
                raise raw.failure from None
            raise DataError(f"cannot unpack {what} - {compression} data is damaged: {error}") from None
        if not chunk:
            return
        size += len(chunk)
        limits.check(size, raw.count, what)
        yield chunk


class _Raw(io.RawIOBase):
    """Chunks as a file; `count` bytes of it were read."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""
        self.count = 0
        self.failure: BaseException | None = None

    def readable(self) -> bool:
        return True

    def peek(self, count: int) -> bytes:
        while len(self._rest) < count and (more := self._next()):
            self._rest += more
        return self._rest[:count]

    def read(self, size: int = -1) -> bytes:
        data = self._rest or self._next()
        if 0 <= size < len(data):
            data, self._rest = data[:size], data[size:]
        else:
            self._rest = b""
        self.count += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _next(self) -> bytes:
        try:
            for chunk in self._chunks:
                if chunk:
                    return chunk
        except BaseException as error:
            self.failure = error
            raise
        return b""
