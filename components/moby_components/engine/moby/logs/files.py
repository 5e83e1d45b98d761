"""The files of one log, oldest first, and where the last N lines begin in them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from moby_components.engine.moby.logs.cri import entry_ends_line

BLOCK = 1 << 16
MOST_FILES = 1000


@dataclass(slots=True)
class LogFile:
    """An open file of the log, and from where to read it."""

    fd: int
    inode: int
    at: int = 0

    def close(self) -> None:
        os.close(self.fd)


def rotated(log: Path, number: int) -> Path:
    """`log` itself for 0, else log.NUMBER: the higher, the older."""
    return log.with_name(f"{log.name}.{number}") if number else log


def open_all(log: Path, *, newer_than: int = 0) -> list[LogFile]:
    """All files of a log, oldest first; only those after the one with the inode `newer_than`, if given.

    Opened newest first: a rotation meanwhile shows one file twice, which the inode tells, and never
    hides one. The caller closes them.
    """
    found: list[LogFile] = []
    for number in range(MOST_FILES):
        try:
            fd = os.open(rotated(log, number), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            if number == 0:
                continue  # in the middle of a rotation
            break
        inode = os.fstat(fd).st_ino
        if inode == newer_than or any(file.inode == inode for file in found):
            os.close(fd)
            if inode == newer_than:
                break
        else:
            found.append(LogFile(fd, inode))
    found.reverse()
    return found


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
