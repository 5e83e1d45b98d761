"""The file a blob grows in: private, continued after a break, hashed off the event loop."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path

READ = 1 << 20


class Partial:
    """`size` bytes of it are on disk and in the hash. Blocking methods run in `executor`.

    OSError comes out of every method as the system raised it (a full disk, a directory that is gone).
    """

    def __init__(self, path: Path, algorithm: str, executor: Executor) -> None:
        self.path = path.with_name(path.name + ".partial")
        self._final, self._algorithm, self._executor = path, algorithm, executor
        self._hash = hashlib.new(algorithm)
        self._fd = -1
        self.size = 0

    async def open(self, limit: int) -> None:
        """Open or create, and hash what is there; more than `limit` bytes are thrown away."""
        await self._run(self._open, limit)

    async def write(self, chunks: Sequence[bytes]) -> None:
        """Append and hash."""
        await self._run(self._write, chunks)

    async def restart(self) -> None:
        """Forget everything: the other side cannot continue, or what was there was wrong."""
        await self._run(self._restart)

    @property
    def digest(self) -> str:
        return f"{self._algorithm}:{self._hash.hexdigest()}"

    def keep(self) -> None:
        """It is whole: give it its name."""
        self.path.rename(self._final)

    def close(self, *, remove: bool) -> None:
        """Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
            if remove:
                self.path.unlink(missing_ok=True)

    async def _run(self, function: Callable[..., None], *args: object) -> None:
        """In the thread, to its end even when we are cancelled: the file must not change after `close`."""
        future = asyncio.get_running_loop().run_in_executor(self._executor, function, *args)
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise

    def _open(self, limit: int) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        self._fd = os.open(self.path, flags, 0o600)
        found = os.fstat(self._fd)
        ours = stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_uid == os.geteuid()
        if not ours:  # somebody else's file: never write into it
            os.close(self._fd)
            self.path.unlink()
            self._fd = os.open(self.path, flags | os.O_EXCL, 0o600)
            return
        if found.st_size > limit:
            os.ftruncate(self._fd, 0)
        while data := os.read(self._fd, READ):
            self._hash.update(data)
            self.size += len(data)

    def _write(self, chunks: Sequence[bytes]) -> None:
        for chunk in chunks:
            self._hash.update(chunk)
            view = memoryview(chunk)
            while view:
                view = view[os.write(self._fd, view) :]
            self.size += len(chunk)

    def _restart(self) -> None:
        os.lseek(self._fd, 0, os.SEEK_SET)
        os.ftruncate(self._fd, 0)
        self._hash = hashlib.new(self._algorithm)
        self.size = 0
