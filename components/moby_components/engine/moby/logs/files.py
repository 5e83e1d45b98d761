"""The files of one log, oldest first, and where the last N lines begin in them.

`log` is being written, `log.1` is the one before it, and so on; an older one may be packed: `log.2.gz`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from moby_components.engine.moby.logs.cri import entry_ends_line
from moby_components.engine.moby.logs.packed import head, unpack

BLOCK = 1 << 16
MOST_FILES = 1000


@dataclass(slots=True)
class LogFile:
    """A file of the log, and from where to read it. A packed one is unpacked when it is first read."""

    source: int
    packed: bool = False
    at: int = 0
    inode: int = field(init=False)
    _plain: int = field(default=-1, init=False)

    def __post_init__(self) -> None:
        self.inode = os.fstat(self.source).st_ino

    @property
    def fd(self) -> int:
        """Of the plain text. Blocks while a packed file is unpacked."""
        if not self.packed:
            return self.source
        if self._plain < 0:
            self._plain = unpack(self.source)
        return self._plain

    def same(self, other: LogFile) -> bool:
        """Also when one of the two is the packed form of the other. Both are open: no inode is reused."""
        if self.packed == other.packed:
            return self.inode == other.inode
        mine = head(self.source, packed=self.packed)
        return bool(mine) and mine == head(other.source, packed=other.packed)

    def close(self) -> None:
        os.close(self.source)
        if self._plain >= 0:
            os.close(self._plain)


def rotated(log: Path, number: int) -> Path:
    """`log` itself for 0, else log.NUMBER: the higher, the older."""
    return log.with_name(f"{log.name}.{number}") if number else log


def packed(log: Path, number: int) -> Path:
    """The same, compressed."""
    return log.with_name(f"{log.name}.{number}.gz")


def open_all(log: Path, *, newer_than: LogFile | None = None) -> list[LogFile]:
    """All files of a log, oldest first; only those after `newer_than`, if given.

    Opened newest first: a rotation meanwhile shows one file twice, which is noticed, and never hides
    one. The caller closes them.
    """
    found: list[LogFile] = []
    missing = 0
    for number in range(MOST_FILES):
        file = _open(log, number)
        if file is None:
            missing += 1
            if missing > 1:  # one may be on its way to the next number just now
                break
            continue
        missing = 0
        if newer_than is not None and file.same(newer_than):
            file.close()
            break
        if any(file.same(other) for other in found):
            file.close()
        else:
            found.append(file)
    found.reverse()
    return found


def _open(log: Path, number: int) -> LogFile | None:
    """A packed one is looked for last: it appears before the plain one goes."""
    for path, is_packed in ((rotated(log, number), False), (packed(log, number), True)):
        if number or not is_packed:
            try:
                return LogFile(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), is_packed)
            except FileNotFoundError:
                continue
    return None


def seek_tail(files: list[LogFile], lines: int) -> list[LogFile]:
    """The files from which the last `lines` lines can be read, each set to its place."""
    if lines < 0:
        return files
    left = lines
    newest = True
    for index in range(len(files) - 1, -1, -1):
        file = files[index]
        size = os.fstat(file.fd).st_size
        for end, entry in _backwards(file.fd, size):
            # An unfinished line at the very end counts as one.
            if entry_ends_line(entry) or newest:
                if left == 0:
                    file.at = end
                    for older in files[:index]:
                        older.close()
                    return files[index:]
                left -= 1
            newest = False
    return files


def read_entries(file: LogFile) -> Iterator[list[bytes]]:
    """What is in the file from its place on, in batches of whole entries; the place moves along."""
    rest = b""
    while True:
        block = os.pread(file.fd, BLOCK, file.at + len(rest))
        if not block:
            return
        *entries, rest = (rest + block).split(b"\n")
        file.at += sum(map(len, entries)) + len(entries)
        if entries:
            yield entries


def _backwards(fd: int, size: int) -> Iterator[tuple[int, bytes]]:
    """(offset just after it, entry) from the last whole entry to the first."""
    position, rest = size, b""
    end = size
    complete = False
    while position > 0:
        length = min(BLOCK, position)
        position -= length
        block = os.pread(fd, length, position) + rest
        lines = block.split(b"\n")
        for line in reversed(lines[1:]):
            if complete:
                yield end, line
                end -= len(line) + 1
            else:
                complete = True  # what follows the last newline is not whole yet
                end -= len(line)
        rest = lines[0]
    if complete:
        yield end, rest
