"""A stream of bytes that should be a tar, plain or compressed -> files below an open directory."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from moby_components.common.tree.compression import plain
from moby_components.common.tree.dirs import DirTree
from moby_components.common.tree.extract import Extractor, Rules, failed
from moby_components.common.tree.header import TarReader
from moby_components.common.tree.limits import Limits
from moby_components.common.tree.source import Source


@dataclass(frozen=True, slots=True)
class ArchiveLimits(Limits):
    """For archives that a user hands over: Docker knows no limit but the disk's."""

    size: int = 1 << 60
    entries: int = 10_000_000
    expansion: int = 1000
    ways: ClassVar[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Unpacked:
    """`size` bytes of regular files; `notes` says what could not be kept here, and how often."""

    size: int
    entries: int
    notes: Mapping[str, int] = field(default_factory=Counter)


def unpack(
    chunks: Iterable[bytes],
    target: int,
    *,
    rules: Rules,
    limits: Limits | None = None,
    resolve: Callable[[bytes], int] | None = None,
) -> Unpacked:
    """Unpack into the directory of the descriptor `target` (which stays the caller's), over what is
    there: a file takes the place of a file, directories are merged. Blocking.

    No name, link or earlier entry leads out of `target`; a directory reached through a symbolic link
    is refused, or opened by `resolve(path)`. Raises DataError for what is no proper tar, is too much
    or points out, InvalidArgument where `rules.mix` forbids it, Unavailable for a full disk; what was
    unpacked until then stays. Errors of `chunks` come through.
    """
    incoming = _Incoming(chunks)
    source = Source(plain(incoming, limits or ArchiveLimits(), rules.what), rules.what)
    try:
        with DirTree(os.dup(target), rules.what, resolve) as tree:
            extractor = Extractor(tree, rules)
            extractor.run(TarReader(source, limits or ArchiveLimits()))
        source.drain()
    except OSError as error:
        if error is incoming.failure:
            raise
        raise failed(rules.what, error) from error
    return Unpacked(extractor.size, extractor.entries, extractor.notes)


class _Incoming:
    """The chunks, and the error that ended them: theirs, not the disk's."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self.failure: BaseException | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._chunks)
        except Exception as error:
            self.failure = error
            raise
