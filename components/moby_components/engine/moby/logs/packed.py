"""Compressed files of a log: packed after their rotation, unpacked by whoever reads them."""

from __future__ import annotations

import contextlib
import os
import tempfile
import zlib
from pathlib import Path

_BLOCK = 1 << 18
_HEAD = 512
_WINDOW = 16 + zlib.MAX_WBITS
"""With a gzip header, so that zcat and its like read the files too."""


def pack(plain: Path, target: Path) -> None:
    """Blocking. `target` appears whole, then `plain` goes: at no moment a reader finds neither. Nothing
    for a file that is gone."""
    new = target.with_name(f"{target.name}.new")
    try:
        source = os.open(plain, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        new.unlink(missing_ok=True)
        packer = zlib.compressobj(6, zlib.DEFLATED, _WINDOW)
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "wb") as file:
            while block := os.read(source, _BLOCK):
                file.write(packer.compress(block))
            file.write(packer.flush())
        new.rename(target)
        plain.unlink(missing_ok=True)
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        raise
    finally:
        os.close(source)


def unpack(source: int) -> int:
    """A descriptor of the plain text: a file without a name beside the others, not in memory, since a
    log may be large. What is damaged ends the text."""
    folder = Path(f"/proc/self/fd/{source}").readlink().parent
    with tempfile.TemporaryFile(dir=folder if folder.is_dir() else None) as file:
        fd = os.dup(file.fileno())
    try:
        unpacker, at = zlib.decompressobj(_WINDOW), 0
        with contextlib.suppress(zlib.error):
            while block := os.pread(source, _BLOCK, at):
                at += len(block)
                while block:
                    _write(fd, unpacker.decompress(block, _BLOCK))
                    block = unpacker.unconsumed_tail
            _write(fd, unpacker.flush())
    except BaseException:
        os.close(fd)
        raise
    return fd


def head(source: int, *, packed: bool) -> bytes:
    """The first bytes of the plain text."""
    data = os.pread(source, _HEAD * (2 if packed else 1), 0)
    if not packed:
        return data[:_HEAD]
    try:
        return zlib.decompressobj(_WINDOW).decompress(data, _HEAD)
    except zlib.error:
        return b""


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
