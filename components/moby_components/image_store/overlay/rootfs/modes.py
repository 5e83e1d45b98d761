"""Which way of joining layers this host allows: found out by doing it, once, at `open`.

overlay     overlayfs as root; marks in trusted.overlay.*
userxattr   overlayfs inside a user namespace (Linux 5.11); marks in user.overlay.*
copy        overlayfs is refused: every container gets a copy of its image
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from moby_components.common.mounts import mount, umount_all
from moby_components.image_store.overlay.rootfs import marks
from moby_py.errors import Unavailable

Name = Literal["overlay", "userxattr", "copy"]
_PARAMETERS = Path("/sys/module/overlay/parameters")


@dataclass(frozen=True, slots=True)
class Mode:
    """`options` go into every overlay mount; `prefix` is where marks are written; `why` says why a
    better mode was not taken, "" for the best."""

    name: Name
    prefix: str
    options: tuple[str, ...] = ()
    why: str = ""


def overlay_options(name: Name) -> tuple[str, ...]:
    """What keeps a writable layer readable without overlayfs (and so committable): no redirected
    directories, no metadata-only copies; and no index, which ties it to one set of layers."""
    if name == "userxattr":
        return ("userxattr",)
    known = {path.name for path in _PARAMETERS.iterdir()} if _PARAMETERS.is_dir() else set()
    wanted = (("index", "index=off"), ("metacopy", "metacopy=off"), ("redirect_dir", "redirect_dir=off"))
    return tuple(option for parameter, option in wanted if parameter in known)


def choose(scratch: Path, *, rootless: bool, wanted: str = "auto") -> Mode:
    """The best mode that works on the disk of `scratch`. Blocks for a few milliseconds.

    `wanted` is the option: "auto", "overlay" (refuse to copy) or "copy". Raises Unavailable where
    "overlay" is wanted and refused, or where not even attributes can be written.
    """
    reasons = []
    if wanted != "copy":
        names: tuple[Name, ...] = ("userxattr",) if rootless else ("overlay", "userxattr")
        for name in names:
            prefix = marks.USER if name == "userxattr" else marks.TRUSTED
            options = overlay_options(name)
            try:
                _try_overlay(scratch, prefix, options)
            except OSError as error:
                reasons.append(f"{name}: {(error.strerror or str(error)).lower()}")
            else:
                return Mode(name, prefix, options)
        if wanted == "overlay":
            raise Unavailable(
                f"overlayfs is refused here - {'; '.join(reasons)}",
                hint="set image_store's option mode to auto, which copies instead",
            )
    prefix = _writable_prefix(scratch)
    why = "; ".join(reasons) or "asked for by the option mode"
    return Mode("copy", prefix, (), why)


def _try_overlay(scratch: Path, prefix: str, options: tuple[str, ...]) -> None:
    """Join two layers for a moment and look whether deleting, hiding and writing work as they must."""
    base = scratch / "probe"
    with _removed(base):
        top, low, upper, work, merged = (base / name for name in ("top", "low", "upper", "work", "merged"))
        for folder in (base, top, low, upper, work, merged, top / "d", low / "d"):
            folder.mkdir(mode=0o755)
        for file in (low / "gone", low / "d" / "hidden", low / "kept"):
            file.write_bytes(b"x")
        descriptor = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
        try:
            marks.whiteout(b"gone", descriptor)
        finally:
            os.close(descriptor)
        os.setxattr(top / "d", prefix + "opaque", b"y")
        mount(
            "overlay",
            "overlay",
            merged,
            (
                f"lowerdir={escape(top)}:{escape(low)}",
                f"upperdir={escape(upper)}",
                f"workdir={escape(work)}",
                *options,
            ),
        )
        (merged / "kept").write_bytes(b"y")
        (merged / "d").rmdir()
        seen = sorted(path.name for path in merged.iterdir())
        if seen != ["kept"] or (low / "kept").read_bytes() != b"x" or not (upper / "d").exists():
            raise OSError(0, f"whiteouts are not honoured (saw {' '.join(seen)})")


@contextlib.contextmanager
def _removed(base: Path) -> Iterator[None]:
    """The directory is not there before and not there afterwards, whatever is mounted in it."""
    _remove(base)
    try:
        yield
    finally:
        _remove(base)


def _remove(base: Path) -> None:
    if base.exists():
        umount_all(base)
        for folder in base.rglob("work"):
            folder.chmod(0o700)  # the kernel's own work/work has mode 0
        shutil.rmtree(base)


def _writable_prefix(scratch: Path) -> str:
    file = scratch / "probe-xattr"
    file.touch(mode=0o600)
    try:
        for prefix in (marks.TRUSTED, marks.USER):
            with contextlib.suppress(OSError):
                os.setxattr(file, prefix + "opaque", b"y")
                return prefix
    finally:
        file.unlink()
    raise Unavailable(
        f"{scratch} does not keep extended attributes - layers cannot be stored there",
        hint="put the state directory on ext4, xfs or btrfs (moby-py up --state DIR)",
    )


def escape(path: Path) -> str:
    """A path as one of overlay's options: `:` separates layers and `,` options.

    >>> escape(Path("/a:b,c"))
    '/a\\\\:b\\\\,c'
    """
    return str(path).replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")
