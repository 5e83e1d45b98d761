"""Folders made inside a root that an image wrote: links lead around in it, and never out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from moby_components.common.rooted import make_dirs


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "there").mkdir(parents=True)
    return root


def make(root: Path, path: str) -> str:
    fd = make_dirs(root, path, uid=os.getuid(), gid=os.getgid())
    try:
        return str(Path(f"/proc/self/fd/{fd}").readlink().relative_to(root.resolve()))
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    ("link", "target", "path", "made"),
    [
        ("", "", "/a/b/c", "a/b/c"),
        ("", "", "there/../x", "x"),
        ("w", "/srv/deep", "/w/x", "srv/deep/x"),
        ("w", "srv", "w", "srv"),
        ("there/up", "../../../../etc/x", "/there/up/y", "etc/x/y"),
        ("w", "/", "/w/y", "y"),
    ],
)
def test_folders_and_dangling_links(root: Path, link: str, target: str, path: str, made: str) -> None:
    if link:
        (root / link).symlink_to(target)
    assert make(root, path) == made
    assert make(root, path) == made, "once more changes nothing"
    assert sorted(p.name for p in root.parent.iterdir()) == ["root"]


def test_what_cannot_be_made(root: Path) -> None:
    (root / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        make(root, "/file/x")
    (root / "ring").symlink_to("ring")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        make(root, "/ring/x")
    (root / "one").symlink_to("two/x")
    (root / "two").symlink_to("one/x")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        make(root, "/one")
