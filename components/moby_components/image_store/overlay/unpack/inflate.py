"""Compressed bytes in, plain bytes out: gzip, zstd, xz, bzip2 or none, told apart by their magic.

Everything that comes out is counted against the limits before anyone sees it, so that a bomb costs
one chunk more than it is allowed and not a disk.
"""

from __future__ import annotations

import hashlib
import io
import queue
import threading
from collections.abc import Iterator
from typing import Any, Protocol

from moby_components.image_store.overlay.unpack.limits import Limits
from moby_py.errors import DataError

CHUNK = 1 << 20
QUEUED = 8

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
    """A binary reader of the plain bytes. Its read errors are for `damaged` to name."""
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


class Raw(Protocol):
    """What is asked of a file of compressed bytes."""

    def read(self, size: int = -1, /) -> bytes | None: ...

    def seek(self, offset: int, /) -> int: ...


class Inflater:
    """Plain bytes of one blob, in order, with their sha256 once the end was reached.

    Iterating runs inflation and hashing in a thread (both leave the interpreter lock), a few chunks
    ahead of the reader. `close` stops the thread, whatever was read.
    """

    def __init__(self, raw: Raw, limits: Limits, what: str) -> None:
        self._raw = raw
        self._limits = limits
        self._what = what
        self._hash = hashlib.sha256()
        self._queue: queue.Queue[bytes | BaseException | None] = queue.Queue(QUEUED)
        self._stopped = threading.Event()
        self.size = 0
        self._thread = threading.Thread(target=self._run, name="inflate", daemon=True)

    @property
    def digest(self) -> str:
        """ "sha256:..." of the plain bytes; only meaningful after the last chunk."""
        return "sha256:" + self._hash.hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        self._thread.start()
        while True:
            item = self._queue.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def close(self) -> None:
        """Stop the thread and wait for it. Idempotent."""
        self._stopped.set()
        while self._thread.is_alive():
            try:
                self._queue.get_nowait()  # it may be waiting for room
            except queue.Empty:
                self._thread.join(0.01)

    def _run(self) -> None:
        try:
            for chunk in self._plain():
                self._hash.update(chunk)
                self._queue.put(chunk)
                if self._stopped.is_set():
                    return
        except BaseException as error:  # raised where the chunks are read
            self._queue.put(error)
        else:
            self._queue.put(None)

    def _plain(self) -> Iterator[bytes]:
        head = self._raw.read(6) or b""
        self._raw.seek(0)
        compression = compression_of(head)
        counted = _Counter(self._raw)
        reader = open_plain(counted, compression)
        while True:
            try:
                chunk = reader.read(CHUNK)
            except MemoryError:
                raise
            except Exception as error:
                # Each decoder has exceptions of its own (zlib's, zstd's, lzma's, EOFError, OSError).
                raise DataError(
                    f"cannot unpack {self._what} - {compression} data is damaged: {error}"
                ) from None
            if not chunk:
                return
            self.size += len(chunk)
            self._check(counted.count)
            yield chunk

    def _check(self, compressed: int) -> None:
        limits = self._limits
        if self.size > limits.size:
            raise DataError(
                f"cannot unpack {self._what} - it holds more than {limits.size} bytes",
                hint="raise image_store's option max_layer_size if this image is meant",
            )
        if self.size > limits.floor and self.size > compressed * limits.expansion:
            raise DataError(
                f"cannot unpack {self._what} - it expands more than {limits.expansion} times",
                hint="raise image_store's option max_expansion if this image is meant",
            )


class _Counter(io.RawIOBase):
    """How many compressed bytes were handed to the decoder."""

    def __init__(self, raw: Raw) -> None:
        self._raw = raw
        self.count = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def read(self, size: int = -1) -> bytes:
        data = self._raw.read(size) or b""
        self.count += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        data = self._raw.read(len(buffer)) or b""
        buffer[: len(data)] = data
        self.count += len(data)
        return len(data)
