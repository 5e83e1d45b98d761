"""Where a build is written: one rename, nothing else replaced, nothing left behind by a failure."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from moby_py.errors import MobyError
from moby_py.outputs import choose
from moby_py.outputs.tree import File, Tree

FILES: Tree = {
    "platform.yaml": File(b"blueprint: 1\n"),
    "platform.lock": File(b"{}\n"),
    "bin/shop": File(b"#!/bin/sh\n", 0o755),
    "etc/runtime/runc/a/b.toml": File(b"x = 1\n"),
}


def write(out: Path, files: Tree = FILES) -> None:
    output = choose(out)
    output.check(out)
    output.write(files, out, complete=lambda _: None)


def listing(directory: Path) -> list[str]:
    return sorted(p.relative_to(directory).as_posix() for p in directory.rglob("*") if p.is_file())


def test_a_directory_has_every_file_with_its_mode_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        write(tmp_path / "new/out")
    finally:
        os.umask(old)
    out = tmp_path / "new/out"
    assert listing(out) == sorted(FILES)
    assert {n: (out / n).stat().st_mode & 0o777 for n in FILES} == {n: f.mode for n, f in FILES.items()}
    assert (out / "etc/runtime").stat().st_mode & 0o777 == 0o755
    assert out.stat().st_mode & 0o777 == 0o755
    assert [p.name for p in out.parent.iterdir()] == ["out"]


def test_an_older_platform_is_replaced_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out)
    (out / "left.over").write_text("old")
    write(out, {**FILES, "graph.mmd": File(b"new\n")})
    assert listing(out) == sorted([*FILES, "graph.mmd"])
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_link_to_a_platform_stays_a_link(tmp_path: Path) -> None:
    write(tmp_path / "real")
    (tmp_path / "out").symlink_to("real")
    write(tmp_path / "out", {**FILES, "graph.mmd": File(b"")})
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "real/graph.mmd").exists()


def test_an_empty_directory_is_taken(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write(tmp_path / "out")
    assert listing(tmp_path / "out") == sorted(FILES)


def test_anything_else_is_refused_and_kept(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("precious")
    with pytest.raises(MobyError) as caught:
        write(out)
    assert caught.value.message == (
        f"{out} is a directory with other things in it - "
        "build replaces nothing but a platform it wrote before"
    )
    assert (out / "thesis.txt").read_text() == "precious"
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(MobyError) as caught:
        write(file)
    assert caught.value.message == (
        f"{file} is not a directory - build replaces nothing but a platform it wrote before"
    )


@pytest.mark.parametrize("name", ["out", "out.tar"])
def test_a_failure_in_the_middle_leaves_nothing(tmp_path: Path, name: str) -> None:
    def fail(directory: Path) -> None:
        assert (directory / "platform.yaml").exists()
        raise RuntimeError("after_build")

    with pytest.raises(RuntimeError):
        choose(tmp_path / name).write(FILES, tmp_path / name, complete=fail)
    assert list(tmp_path.iterdir()) == []


def test_a_parent_that_is_a_file_is_a_clean_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MobyError) as caught:
        write(tmp_path / "file/out")
    assert caught.value.message.startswith(f"cannot write {tmp_path}/file/out - ")


def test_a_tar_is_the_same_bytes_whenever_it_is_written(tmp_path: Path) -> None:
    write(tmp_path / "a/shop.tar")
    write(tmp_path / "b/shop.tar", dict(reversed(FILES.items())))
    assert (tmp_path / "a/shop.tar").read_bytes() == (tmp_path / "b/shop.tar").read_bytes()
    with tarfile.open(tmp_path / "a/shop.tar") as archive:
        members = archive.getmembers()
    assert [m.name for m in members if m.isreg()] == sorted(f"shop/{n}" for n in FILES)
    assert {(m.uid, m.gid, m.uname, m.mtime) for m in members} == {(0, 0, "root", 0)}
    assert next(m.mode for m in members if m.name == "shop/bin/shop") == 0o755


def test_a_tar_replaces_only_the_tar_of_a_platform(tmp_path: Path) -> None:
    out = tmp_path / "out.tar"
    write(out)
    assert choose(out).read(out, "platform.lock") == b"{}\n"
    write(out)
    out.write_bytes(b"not a tar")
    with pytest.raises(MobyError) as caught:
        write(out)
    assert caught.value.message == (
        f"{out} is not the tar of a platform - build replaces nothing but what it wrote before"
    )
    assert out.read_bytes() == b"not a tar"


def test_reading_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MobyError) as caught:
        choose(tmp_path / "out").read(tmp_path / "out", "platform.lock")
    assert caught.value.message == (
        f"there is no {tmp_path}/out/platform.lock to compare with - No such file or directory"
    )
