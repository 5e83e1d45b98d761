"""A container's changes as an OCI layer: what was added and changed, and .wh. files for what went."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from moby_components.common.tree.attributes import xattrs
from moby_components.common.tree.tarring import END, Member, header, member_of, padding
from moby_components.image_store.overlay.rootfs.changes import DELETED, Delta, deltas
from moby_components.image_store.overlay.rootfs.view import View

_CHUNK = 1 << 20
Write = Callable[[bytes], object]


def write_layer(own: Path, below: View, write: Write, *, whole: bool) -> None:
    """The whole tar, in a fixed order. A directory that only leads to a change is written with its
    attributes, so that it keeps them. Blocks; for a thread."""
    links: dict[tuple[int, int], bytes] = {}
    pending: list[Delta] = []
    for delta in deltas(own, below, whole=whole):
        while pending and not delta.path.startswith(pending[-1].path + b"/" if pending[-1].path else b""):
            pending.pop()
        if delta.kind is None:
            pending.append(delta)
            continue
        for waiting in pending:
            _write_entry(waiting, write, links)
        pending.clear()
        if delta.kind == DELETED:
            head, _, name = delta.path.rpartition(b"/")
            write(header(Member(name=(head + b"/" if head else b"") + b".wh." + name, mode=0)))
        else:
            _write_entry(delta, write, links)
    write(END)


def _write_entry(delta: Delta, write: Write, links: dict[tuple[int, int], bytes]) -> None:
    found = delta.stat
    if found is None or not delta.path:
        return  # the root directory itself is the image's
    name = delta.path.rpartition(b"/")[2]
    here = b"/proc/self/fd/%d/%s" % (delta.directory, name)
    if stat.S_ISREG(found.st_mode):
        _write_file(delta.path, name, delta.directory, write, links)
        return
    target = os.readlink(here) if stat.S_ISLNK(found.st_mode) else b""  # noqa: PTH115 - bytes
    member = member_of(delta.path, found, link=target)
    if member is None:
        return
    if _linked(member, delta.path, found, links):
        write(header(member))
        return
    member.xattrs = xattrs(here)
    write(header(member))


def _write_file(
    path: bytes, name: bytes, directory: int, write: Write, links: dict[tuple[int, int], bytes]
) -> None:
    """The length is what it is when the file is opened; one that shrinks meanwhile ends in zeros."""
    try:
        descriptor = os.open(
            name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory
        )
    except OSError:
        return  # deleted, or became something else, while we looked
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return
        member = member_of(path, found)
        if member is None:
            return
        if _linked(member, path, found, links):
            write(header(member))
            return
        member.xattrs = xattrs(descriptor)
        write(header(member))
        for piece in _exactly(descriptor, found.st_size):
            write(piece)
        write(padding(found.st_size))
    finally:
        os.close(descriptor)


def _linked(member: Member, path: bytes, found: os.stat_result, links: dict[tuple[int, int], bytes]) -> bool:
    """Turn the second name of a file into a hard link to the first."""
    if found.st_nlink < 2 or stat.S_ISDIR(found.st_mode):
        return False
    first = links.setdefault((found.st_dev, found.st_ino), path)
    if first == path:
        return False
    member.type, member.link, member.size = b"1", first, 0
    return True


def _exactly(descriptor: int, size: int) -> Iterator[bytes]:
    while size:
        piece = os.read(descriptor, min(size, _CHUNK)) or b"\0" * min(size, _CHUNK)
        size -= len(piece)
        yield piece
