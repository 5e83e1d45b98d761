"""Paths as archives spell them -> paths below a root, or a refusal."""

from __future__ import annotations

from moby_components.common.tree.limits import MAX_DEPTH
from moby_py.errors import DataError

WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
AUFS = b".wh..wh."
"""Other names that begin so are book-keeping of AUFS and mean nothing here."""


def clean(name: bytes, what: str, unit: str = "layer") -> bytes:
    """A path relative to the root, b"" for the root itself. An absolute name is meant from
    the root, as everywhere in the field; one that climbs with `..` is refused.

    >>> clean(b"./usr//bin/", "x"), clean(b"/etc/passwd", "x")
    (b'usr/bin', b'etc/passwd')
    """
    if b"\0" in name:
        raise DataError(f"cannot unpack {what} - a name holds a zero byte: {show(name)}")
    parts = name.split(b"/")
    if b".." in parts:
        raise DataError(f"cannot unpack {what} - {show(name)} points out of the {unit}")
    if b"" in parts or b"." in parts:
        parts = [part for part in parts if part not in (b"", b".")]
    if len(parts) > MAX_DEPTH:
        raise DataError(f"cannot unpack {what} - a path is {len(parts)} directories deep")
    return b"/".join(parts)


def show(name: bytes) -> str:
    """For messages: quoted, short, and harmless on a terminal."""
    text = name.decode("utf-8", "backslashreplace")
    return repr(text if len(text) <= 120 else text[:60] + "..." + text[-50:])
