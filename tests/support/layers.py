"""Layer tars for tests, entry by entry: whatever a layer may hold, honest or hostile.

tar([directory("etc"), file("etc/motd", b"hi", uid=1000), whiteout("etc/old"), opaque("var")])
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from typing import Any

MTIME = 1_700_000_000
Entry = tuple[tarfile.TarInfo, bytes]


def entry(name: str, kind: bytes, data: bytes = b"", **fields: Any) -> Entry:
    """`fields` are TarInfo's (mode, uid, gid, mtime, linkname, ...); `xattrs` maps names to bytes."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mtime = kind, len(data), MTIME
    xattrs: Mapping[str, bytes] = fields.pop("xattrs", {})
    info.pax_headers = {
        f"SCHILY.xattr.{key}": value.decode("utf-8", "surrogateescape") for key, value in xattrs.items()
    }
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def file(name: str, data: bytes = b"", *, mode: int = 0o644, **fields: Any) -> Entry:
    return entry(name, tarfile.REGTYPE, data, mode=mode, **fields)


def directory(name: str, *, mode: int = 0o755, **fields: Any) -> Entry:
    return entry(name, tarfile.DIRTYPE, mode=mode, **fields)


def symlink(name: str, target: str, **fields: Any) -> Entry:
    return entry(name, tarfile.SYMTYPE, mode=0o777, linkname=target, **fields)


def hardlink(name: str, target: str, **fields: Any) -> Entry:
    return entry(name, tarfile.LNKTYPE, linkname=target, **fields)


def device(name: str, major: int, minor: int, *, block: bool = False, **fields: Any) -> Entry:
    kind = tarfile.BLKTYPE if block else tarfile.CHRTYPE
    return entry(name, kind, devmajor=major, devminor=minor, **fields)


def fifo(name: str, **fields: Any) -> Entry:
    return entry(name, tarfile.FIFOTYPE, **fields)


def whiteout(name: str) -> Entry:
    """OCI's mark that `name` of a lower layer is gone."""
    folder, slash, base = name.rpartition("/")
    return file(f"{folder}{slash}.wh.{base}")


def opaque(name: str) -> Entry:
    """OCI's mark that nothing of a lower layer's directory `name` shows."""
    return file(f"{name}/.wh..wh..opq")


def tar(entries: Iterable[Entry]) -> bytes:
    """A pax tar, in the order given, deterministic."""
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape"
    ) as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data) if data else None)
    return buffer.getvalue()
