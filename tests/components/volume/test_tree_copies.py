"""Trees packed, unpacked and copied: everything a file can be comes out as it went in."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moby_components.common.tree.copy import copy_tree
from moby_components.common.tree.extract import Rules
from moby_components.common.tree.pack import Packing, end, pack, pack_one
from moby_components.common.tree.unpack import unpack

pytestmark = pytest.mark.root


def zoo(top: Path) -> Path:
    """One of everything."""
    top.mkdir()
    (top / "sub/deep").mkdir(parents=True)
    (top / "file").write_bytes(b"text" * 1000)
    os.chown(top / "file", 100000, 7)
    (top / "file").chmod(0o4751)
    os.setxattr(top / "file", "user.k", b"v\0\xff")
    os.setxattr(top / "file", "security.capability", bytes.fromhex("01000002000400" + "00" * 13))
    os.link(top / "file", top / "sub/same")
    (top / "link").symlink_to("/etc/shadow")
    os.chown(top / "link", 5, 6, follow_symlinks=False)
    os.link(top / "link", top / "sub/link too", follow_symlinks=False)
    os.mkfifo(top / "pipe", 0o622)
    os.mknod(top / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    (top / ("n" * 255)).write_text("long name")
    os.mkdir(os.fsencode(top) + b"/not \xff utf-8")
    with (top / "sparse").open("wb") as file:
        file.seek(1 << 20)
        file.write(b"in the middle")
        file.truncate(8 << 20)
    with (top / "hole").open("wb") as file:
        file.truncate(4 << 20)
    (top / "empty").touch()
    os.utime(top / "file", ns=(1, 1_700_000_000_123_456_789))
    os.utime(top / "sub/deep", ns=(2, -1_500_000_000))
    os.setxattr(top / "sub", "user.folder", b"x")
    (top / "sub").chmod(0o1777)
    os.chown(top, 33, 34)
    top.chmod(0o2770)
    os.utime(top, ns=(3, 4_000_000_005))
    return top


def seen(top: Path) -> dict[bytes, Any]:
    """All that can be told of a tree."""
    found: dict[bytes, Any] = {}
    first: dict[int, bytes] = {}
    for folder, folders, files in os.walk(os.fsencode(top)):
        for name in [b"", *folders, *files]:
            path = os.path.join(folder, name) if name else folder
            one = os.lstat(path)
            relative = os.path.relpath(path, os.fsencode(top))
            content: bytes = b""
            if stat.S_ISREG(one.st_mode):
                with open(path, "rb") as file:
                    content = file.read()
            elif stat.S_ISLNK(one.st_mode):
                content = os.readlink(path)
            found[relative] = (
                one.st_mode, one.st_uid, one.st_gid, one.st_mtime_ns, one.st_rdev, content,
                {k: os.getxattr(path, k, follow_symlinks=False)
                 for k in os.listxattr(path, follow_symlinks=False)},
                first.setdefault(one.st_ino, relative) if not stat.S_ISDIR(one.st_mode) else b"",
            )  # fmt: skip
    return found


def opened(path: Path, work: Callable[[int], Any]) -> Any:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return work(descriptor)
    finally:
        os.close(descriptor)


def packed(top: Path, **options: Any) -> bytes:
    out = io.BytesIO()
    opened(top, lambda fd: pack(fd, out.write, packing=Packing(**options)))
    end(out.write)
    return out.getvalue()


def test_a_tree_comes_out_of_its_tar_as_it_went_in(tmp_path: Path) -> None:
    top = zoo(tmp_path / "zoo")
    data = packed(top)
    assert len(data) < 1 << 20, "holes take no room"
    target = tmp_path / "out"
    target.mkdir()
    done = opened(target, lambda fd: unpack([data[:7], data[7:]], fd, rules=Rules(what="a tar")))
    assert seen(target) == seen(top)
    assert done.notes == {}
    assert (target / "sparse").stat().st_blocks * 512 < 1 << 20


def test_a_copy_is_the_same(tmp_path: Path) -> None:
    top = zoo(tmp_path / "zoo")
    target = tmp_path / "out"
    target.mkdir()
    opened(top, lambda a: opened(target, lambda b: copy_tree(a, b)))
    assert seen(target) == seen(top)
    assert (target / "sparse").stat().st_blocks * 512 < 1 << 20


def test_other_tools_read_it(tmp_path: Path) -> None:
    top = zoo(tmp_path / "zoo")
    archive = tmp_path / "a.tar"
    archive.write_bytes(packed(top))
    for command in (["tar", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf"],):
        target = tmp_path / command[0]
        target.mkdir()
        subprocess.run([*command, archive, "-C", target], check=True)
        ours, theirs = seen(top), seen(target)
        assert {k: v[:6] for k, v in theirs.items()} == {k: v[:6] for k, v in ours.items()}
        assert theirs[b"sub/same"][7] == ours[b"sub/same"][7]
    with tarfile.open(archive) as read:
        assert read.getmember("./sparse").size == 8 << 20


def test_we_read_what_other_tools_write(tmp_path: Path) -> None:
    top = zoo(tmp_path / "zoo")
    for number, form in enumerate(
        ("--format=gnu", "--format=pax", "--format=pax --sparse", "--format=gnu --sparse -z")
    ):
        archive = tmp_path / f"{number}.tar"
        subprocess.run(
            ["tar", *form.split(), "--numeric-owner", "--xattrs", "-cf", archive, "-C", top, "."], check=True
        )
        target = tmp_path / f"out{number}"
        target.mkdir()
        data = archive.read_bytes()
        opened(target, lambda fd, data=data: unpack([data], fd, rules=Rules(what="a tar")))
        ours, theirs = seen(top), seen(target)
        if "gnu" in form:  # whole seconds, no attributes
            assert {k: (*v[:3], v[5]) for k, v in theirs.items()} == {
                k: (*v[:3], v[5]) for k, v in ours.items()
            }
        else:
            assert {k: v[:6] for k, v in theirs.items()} == {k: v[:6] for k, v in ours.items()}


def test_one_entry_under_another_name(tmp_path: Path) -> None:
    top = zoo(tmp_path / "zoo")
    out = io.BytesIO()
    opened(top, lambda fd: pack_one(fd, b"file", out.write, shown=b"other", packing=Packing(exact=False)))
    opened(top, lambda fd: pack_one(fd, b"sub", out.write, shown=b"folder"))
    end(out.write)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as read:
        assert read.getnames() == ["other", "folder", "folder/link too", "folder/same", "folder/deep"]
        assert read.getmember("other").mtime == 1_700_000_000


def test_names_that_are_skipped(tmp_path: Path) -> None:
    top = zoo(tmp_path / "zoo")
    data = packed(top, skip=lambda path: path == b"sub")
    with tarfile.open(fileobj=io.BytesIO(data)) as read:
        assert not [name for name in read.getnames() if name.startswith("./sub")]


def test_a_tree_that_changes_gives_a_whole_tar(tmp_path: Path) -> None:
    """Files vanish, shrink and grow, folders become links, in the middle of the packing."""
    top = tmp_path / "top"
    for number in range(5):
        (top / f"d{number}").mkdir(parents=True)
        (top / f"d{number}/f").write_bytes(b"x" * 3_000_000)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("secret")
    out = io.BytesIO()
    changed = False

    def write(piece: bytes) -> None:
        nonlocal changed
        out.write(piece)
        if out.tell() > 1_000_000 and not changed:
            changed = True
            os.truncate(top / "d0/f", 10)
            os.truncate(top / "d1/f", 9_000_000)
            (top / "d2/f").unlink()
            (top / "d3").rename(top / "moved")
            (top / "d3").symlink_to(tmp_path / "outside")

    opened(top, lambda fd: pack(fd, write))
    end(write)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as read:
        sizes = {member.name: member.size for member in read.getmembers() if member.isfile()}
        assert sizes == {"./d0/f": 3_000_000, "./d1/f": 9_000_000, "./d4/f": 3_000_000}
        assert b"secret" not in out.getvalue()
