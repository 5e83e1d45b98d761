"""Blobs by digest. A file under blobs/ is whole and has the digest it is named by, always."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from moby_py.errors import DataError, NotFound
from moby_py.reference import check_digest

MAX_DOCUMENT = 8 << 20
"""Bytes of a manifest, index or config; registries allow 4 MiB."""


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Blobs:
    """`root` holds blobs/ALGORITHM/HEX; half-written files live in `scratch`, on the same disk."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root = root
        self.scratch = scratch

    def path(self, digest: str) -> Path:
        """Where the blob is or would be. Raises InvalidArgument for what is no digest."""
        algorithm, _, encoded = check_digest(digest).partition(":")
        return self.root / algorithm / encoded

    def exists(self, digest: str) -> bool:
        return self.path(digest).exists()

    def size(self, digest: str) -> int:
        """Bytes, 0 where it is missing."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            return 0

    def read(self, digest: str) -> bytes:
        """A manifest, index or config, checked against its digest once more: it is small and decides
        what runs. Raises NotFound, DataError."""
        path = self.path(digest)
        try:
            with path.open("rb") as file:
                data = file.read(MAX_DOCUMENT + 1)
        except FileNotFoundError:
            raise NotFound(f"no such blob: {digest}") from None
        if len(data) > MAX_DOCUMENT:
            raise DataError(f"blob {digest} is too large for a document - {path.stat().st_size} bytes")
        algorithm, _, encoded = digest.partition(":")
        if hashlib.new(algorithm, data).hexdigest() != encoded:
            raise DataError(
                f"blob {digest} is damaged on disk - its bytes have another digest",
                hint="remove the image and pull it again",
            )
        return data

    def add(self, data: bytes) -> str:
        """Keep a small document; returns its digest."""
        digest = digest_of(data)
        if not self.exists(digest):
            with self.writer() as writer:
                writer.write(data)
                writer.commit(digest)
        return digest

    def writer(self) -> BlobWriter:
        return BlobWriter(self)

    def temporary(self) -> Path:
        """A name for a half-written blob; not created."""
        return self.scratch / f"blob-{secrets.token_hex(8)}"

    def adopt(self, path: Path, digest: str) -> None:
        """A finished file whose bytes were checked against `digest` takes its place."""
        target = self.path(digest)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.replace(target)

    def remove(self, digest: str) -> int:
        """Delete; returns the bytes that were freed. Idempotent."""
        size = self.size(digest)
        self.path(digest).unlink(missing_ok=True)
        return size

    def all(self) -> Iterator[str]:
        """Digests of everything that is there."""
        for folder in sorted(self.root.iterdir()) if self.root.is_dir() else ():
            for path in folder.iterdir():
                yield f"{folder.name}:{path.name}"


class BlobWriter:
    """A blob being written: hashed on the way, named only by `commit`, gone without it."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self.path = blobs.temporary()
        self._file = os.fdopen(
            os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb", buffering=0
        )
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes | memoryview) -> None:
        self._hash.update(data)
        self.size += len(data)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    @property
    def digest(self) -> str:
        return "sha256:" + self._hash.hexdigest()

    def commit(self, expected: str = "", *, sync: bool = True) -> str:
        """Give it its name. Raises DataError where the digest is not the expected one."""
        digest = self.digest
        if expected and digest != expected:
            raise DataError(f"blob {expected} is not what it should be - its bytes have digest {digest}")
        if sync:
            os.fsync(self._file.fileno())
        self._blobs.adopt(self.path, digest)
        return digest

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)
