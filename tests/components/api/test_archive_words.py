"""`cp` and `export` in the platform's own words; and archives from a container that mean harm."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moby_py.cli.docker.local_pack import pack
from moby_py.cli.docker.local_unpack import unpack
from moby_py.errors import DataError, MobyError
from support.archive import BUSYBOX, busybox_archive
from support.platform import TestPlatform, platform

FILE, LINK, HARD, FOLDER = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE


def tar(*entries: tuple[str, bytes, dict[str, Any]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind, fields in entries:
            info = tarfile.TarInfo(name)
            info.type = kind
            data = fields.pop("data", b"")
            for key, value in fields.items():
                setattr(info, key, value)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def pieces(data: bytes, size: int = 700) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


# -- a tree of this host's own ---------------------------------------------------------------------


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "outside"
    place.mkdir()
    (place / "secret").write_text("mine")
    (tmp_path / "here").mkdir()
    yield place
    assert [path.name for path in place.iterdir()] == ["secret"]
    seen = (place / "secret").stat()
    assert ((place / "secret").read_text(), seen.st_nlink) == ("mine", 1)


@pytest.mark.parametrize(
    "case", ["climb", "inner", "through", "relative", "over", "hard", "hard-through", "folder-over-link"]
)
def test_archives_that_point_out(outside: Path, tmp_path: Path, case: str) -> None:
    evil: dict[str, Any] = {"data": b"evil"}
    up = "../outside"
    entries: dict[str, list[tuple[str, bytes, dict[str, Any]]]] = {
        "climb": [(f"{up}/new", FILE, evil)],
        "inner": [("a/../../outside/new", FILE, evil)],
        "through": [("l", LINK, {"linkname": str(outside)}), ("l/new", FILE, evil)],
        "relative": [("l", LINK, {"linkname": up}), ("l/new", FILE, evil)],
        "over": [("l", LINK, {"linkname": f"{outside}/secret"}), ("l", FILE, evil)],
        "hard": [("h", HARD, {"linkname": f"{up}/secret"}), ("h", FILE, evil)],
        "hard-through": [("l", LINK, {"linkname": up}), ("h", HARD, {"linkname": "l/secret"})],
        "folder-over-link": [
            ("l", LINK, {"linkname": up}),
            ("l", FOLDER, {"mode": 0o777}),
            ("l/n", FILE, evil),
        ],
    }
    data = tar(*entries[case])
    if case == "over":
        unpack(pieces(data), tmp_path / "here", rename=None, keep=False)
        assert (tmp_path / "here/l").read_bytes() == b"evil"
        assert not (tmp_path / "here/l").is_symlink()
        return
    with pytest.raises(MobyError, match=r"points out|leads through|cannot overwrite"):
        unpack(pieces(data), tmp_path / "here", rename=None, keep=False)


def test_absolute_names_devices_and_set_id_bits(outside: Path, tmp_path: Path) -> None:
    data = tar(
        (f"{outside}/new", FILE, {"data": b"x"}),
        ("null", tarfile.CHRTYPE, {"devmajor": 1, "devminor": 3}),
        ("suid", FILE, {"mode": 0o6755, "uid": 1, "gid": 1}),
        ("sticky", FOLDER, {"mode": 0o3777}),
        ("pipe", tarfile.FIFOTYPE, {"mode": 0o600}),
    )
    here = tmp_path / "here"
    assert unpack(pieces(data), here, rename=None, keep=False) == ["null"]
    assert (here / str(outside).lstrip("/") / "new").read_text() == "x"
    assert stat.S_IMODE((here / "suid").stat().st_mode) == 0o755
    assert stat.S_IMODE((here / "sticky").stat().st_mode) == 0o1777
    assert (here / "suid").stat().st_uid == os.geteuid()
    assert stat.S_ISFIFO((here / "pipe").stat().st_mode)


@pytest.mark.root
def test_archive_mode_keeps_what_there_was(tmp_path: Path) -> None:
    data = tar(
        ("null", tarfile.CHRTYPE, {"devmajor": 1, "devminor": 3, "mode": 0o666}),
        ("suid", FILE, {"mode": 0o6755, "uid": 12, "gid": 34}),
    )
    assert unpack(pieces(data), tmp_path, rename=None, keep=True) == []
    seen = (tmp_path / "suid").stat()
    assert (stat.S_IMODE(seen.st_mode), seen.st_uid, seen.st_gid) == (0o6755, 12, 34)
    assert (tmp_path / "null").stat().st_rdev == os.makedev(1, 3)


def test_no_tar_and_half_a_tar(tmp_path: Path) -> None:
    for data in (b"x" * 3000, tar(("f", FILE, {"data": b"x" * 5000}))[:2000]):
        with pytest.raises(DataError, match=r"^the platform sent no proper tar - "):
            unpack(pieces(data), tmp_path, rename=None, keep=False)


def test_packing_and_unpacking_need_little_memory(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(60 << 20))
    (tmp_path / "out").mkdir()
    tracemalloc.start()
    unpack(pack(tmp_path / "big", "name"), tmp_path / "out", rename=("name", "other"), keep=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "out/other").stat().st_size == 60 << 20
    assert peak < 10 << 20


# -- with a platform -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moby(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestPlatform]:
    archive = busybox_archive(tmp_path_factory.mktemp("archive"))
    with platform("quickstart.yaml") as running:
        running("load", "-q", "-i", str(archive))
        running("run", "-d", "--name", "box", "-v", "data:/data", BUSYBOX, "sleep", "1000")
        yield running


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    (top / "sub").mkdir(parents=True)
    (top / "file").write_text("content\n")
    (top / "sub/exec").write_text("#!")
    (top / "sub/exec").chmod(0o750)
    (top / "link").symlink_to("file")
    os.link(top / "file", top / "hard")
    return top


def names(top: Path) -> list[str]:
    return sorted(str(path.relative_to(top)) for path in top.rglob("*"))


@pytest.mark.root
def test_in_and_out(moby: TestPlatform, tree: Path, tmp_path: Path) -> None:
    def inside(command: str) -> str:
        return moby("exec", "box", "sh", "-c", command).stdout

    moby("cp", str(tree), "box:/one")
    moby("cp", str(tree), "box:/one")
    moby("cp", f"{tree}/.", "box:/data")
    assert inside("cat /one/tree/sub/exec /data/file; readlink /one/link; stat -c %h /one/hard") == (
        "#!content\nfile\n2\n"
    )
    moby("cp", str(tree / "file"), "box:/etc/renamed")
    moby("cp", str(tree / "link"), "box:/etc/asis")
    moby("cp", "-L", str(tree / "link"), "box:/etc/followed")
    assert inside("cat /etc/renamed /etc/followed; readlink /etc/asis") == "content\ncontent\nfile\n"
    moby("cp", "box:/one", str(tmp_path / "back"))
    assert [name for name in names(tmp_path / "back") if not name.startswith("tree")] == names(tree)
    (tmp_path / "into").mkdir()
    moby("cp", "box:/data/.", str(tmp_path / "into"))
    moby("cp", "box:/data", str(tmp_path / "into"))
    assert names(tmp_path / "into") == sorted([*names(tree), "data", *(f"data/{n}" for n in names(tree))])
    moby("cp", "box:/data/sub/exec", str(tmp_path / "alone"))
    assert stat.S_IMODE((tmp_path / "alone").stat().st_mode) == 0o750
    moby("cp", "-L", "box:/data/link", str(tmp_path / "through"))
    assert (tmp_path / "through").read_text() == "content\n"
    moby("cp", "box:/data/link", str(tmp_path / "kept"))
    assert os.readlink(tmp_path / "kept") == "file"
    moby("cp", "box:/bin/busybox", f"{tmp_path}/into/")
    assert (tmp_path / "into/busybox").stat().st_size > 100_000


@pytest.mark.root
def test_streams(moby: TestPlatform, tmp_path: Path) -> None:
    data = tar(("s/a", FILE, {"data": b"streamed\n"}))
    moby("cp", "-", "box:/tmp", input=data)
    assert moby("exec", "box", "cat", "/tmp/s/a").stdout == "streamed\n"
    out = subprocess.run(moby.command("cp", "box:/tmp/s", "-"), env=moby.env, capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(out.stdout)) as found:
        assert found.getnames() == ["s", "s/a"]
    moby("export", "-o", str(tmp_path / "root.tar"), "box")
    with tarfile.open(tmp_path / "root.tar") as found:
        assert {"tmp/s/a", "bin/busybox"} <= set(found.getnames())
    out = subprocess.run(moby.command("export", "box"), env=moby.env, capture_output=True, check=True)
    moby("import", "-", "flat:1", input=out.stdout)
    assert moby("run", "--rm", "flat:1", "cat", "/tmp/s/a").stdout == "streamed\n"
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.root
def test_refusals(moby: TestPlatform, tree: Path, tmp_path: Path) -> None:
    file = str(tree / "file")
    for args, text in (
        (("box:/a", "box:/b"), "copying between containers is not supported"),
        ((file, str(tree)), "must specify at least one container source"),
        (("box:/nope", str(tmp_path)), "could not find the file /nope in container box"),
        (("gone:/nope", str(tmp_path)), "no such container: gone"),
        ((file, "gone:/x"), "no such container: gone"),
        ((file, "box:/no/such/place"), "could not find the file /no/such in container box"),
        ((f"{tree}/none", "box:/"), f"lstat {tree}/none: no such file or directory"),
        ((str(tree), "box:/etc/passwd"), "cannot copy directory"),
        (("box:/etc", file), "cannot copy directory"),
        ((file, "box:/no/"), "no such directory"),
        (("box:/etc/passwd", f"{tmp_path}/no/"), "no such directory"),
        (("box:/etc/passwd", f"{tmp_path}/no/x"), 'invalid output path: directory "'),
        (("box:/etc", f"{tmp_path}/no/x"), 'invalid output path: directory "'),
    ):
        done = moby("cp", *args, check=False)
        assert done.returncode in (1, 2), args
        assert done.stderr.startswith(f"error: {text}"), (args, done.stderr)
    done = moby("cp", "-", "box:/etc/passwd", check=False, input=tar())
    assert done.stderr.startswith('error: destination "box:/etc/passwd" must be a directory')
    assert moby("export", "gone", check=False).stderr.startswith("error: no such container: gone")
    assert moby("container", "cp", "--help").stdout.startswith("Usage")
