"""A compressed blob in, plain bytes and their digest out.

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

from moby_components.common.tree.compression import CHUNK, compression_of, open_plain
from moby_components.common.tree.limits import Limits
from moby_py.errors import DataError

QUEUED = 8


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
            self._limits.check(self.size, counted.count, self._what)
            yield chunk


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
