"""Archives of strangers, unpacked into a folder that others write in: nothing leaves it."""

from __future__ import annotations

import gzip
import io
import os
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moby_components.common.inroot import open_in_root
from moby_components.common.tree.extract import Rules
from moby_components.common.tree.unpack import ArchiveLimits, Unpacked, unpack
from moby_py.errors import DataError, InvalidArgument

RULES = Rules(what="the tar")


def tar(*members: tuple[str, Any], **more: Any) -> bytes:
    """(name, content | {"type": ..., ...}) each."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", **more) as made:
        for name, what in members:
            info = tarfile.TarInfo(name)
            info.uid, info.gid = os.geteuid(), os.getegid()
            if isinstance(what, bytes):
                info.size = len(what)
                made.addfile(info, io.BytesIO(what))
            else:
                for key, value in what.items():
                    setattr(info, key, value)
                made.addfile(info)
    return out.getvalue()


FOLDER = {"type": tarfile.DIRTYPE, "mode": 0o755}


def symlink(target: str) -> dict[str, Any]:
    return {"type": tarfile.SYMTYPE, "linkname": target}


def into(target: Path, data: bytes, rules: Rules = RULES, **more: Any) -> Unpacked:
    target.mkdir(exist_ok=True)
    descriptor = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return unpack([data], descriptor, rules=rules, **more)
    finally:
        os.close(descriptor)


def refused(text: str, error: type[Exception] = DataError) -> Any:
    return pytest.raises(error, match=f"^{re.escape(text)}$")


HOSTILE: dict[str, tuple[bytes, str]] = {
    "dots": (tar(("../out", b"x")), "cannot unpack the tar - '../out' points out of the archive"),
    "dots inside": (
        tar(("a/../../out", b"x")),
        "cannot unpack the tar - 'a/../../out' points out of the archive",
    ),
    "through its own link": (
        tar(("l", symlink("..")), ("l/out", b"x")),
        "cannot unpack the tar - 'l' is used as a directory but is not one",
    ),
    "through a deep link": (
        tar(("d", FOLDER), ("d/l", symlink("/")), ("d/l/out", b"x")),
        "cannot unpack the tar - 'd/l' is used as a directory but is not one",
    ),
    "hard link out": (
        tar(("h", {"type": tarfile.LNKTYPE, "linkname": "../secret"})),
        "cannot unpack the tar - '../secret' points out of the archive",
    ),
    "hard link to the host": (
        tar(("h", {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"})),
        "cannot unpack the tar - 'h' is a hard link to 'etc/passwd', which is missing",
    ),
    "hard link through a link": (
        tar(("l", symlink("..")), ("h", {"type": tarfile.LNKTYPE, "linkname": "l/secret"})),
        "cannot unpack the tar - 'l' is used as a directory but is not one",
    ),
    "hard link to a folder": (
        tar(("d", FOLDER), ("h", {"type": tarfile.LNKTYPE, "linkname": "d"})),
        "cannot unpack the tar - 'h' is a hard link to a directory",
    ),
    "no tar": (b"x" * 2000, "cannot read the tar - not a tar archive (malformed number)"),
    "cut short": (
        tar(("f", b"x" * 5000))[:3000],
        "cannot read the tar - the tar ends in the middle of an entry",
    ),
    "damaged": (gzip.compress(b"x" * 5000)[:30], ""),
    "too deep": (tar(("d/" * 600 + "f", b"x")), "cannot unpack the tar - a path is 601 directories deep"),
    "unknown kind": (
        tar(("f", {"type": b"Q"})),
        "cannot unpack the tar - unknown kind of tar entry b'Q'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("data, said", HOSTILE.values(), ids=HOSTILE)
def test_hostile_archives(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(DataError) as caught:
        into(tmp_path / "in", data)
    assert caught.value.message == said or (not said and "gzip data is damaged" in caught.value.message)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "secret"]
    assert (tmp_path / "secret").stat().st_nlink == 1


def test_absolute_names_stay_below_or_are_refused(tmp_path: Path) -> None:
    data = tar(("/etc/motd", b"x"))
    into(tmp_path / "in", data)
    assert (tmp_path / "in/etc/motd").read_text() == "x"
    with refused("cannot unpack the tar - '/etc/motd' is an absolute name"):
        into(tmp_path / "other", data, Rules(what="the tar", absolute=False))


def test_links_that_were_there_are_no_way_out(tmp_path: Path) -> None:
    """What a container has put into its own files before."""
    root = tmp_path / "in"
    root.mkdir()
    (root / "d").symlink_to(tmp_path)
    (root / "f").symlink_to(tmp_path / "victim")
    (tmp_path / "victim").write_text("mine")
    with refused("cannot unpack the tar - 'd' is used as a directory but is not one"):
        into(root, tar(("d/evil", b"x")))
    into(root, tar(("f", b"new"), ("d", FOLDER), ("d/ok", b"x")))
    assert (tmp_path / "victim").read_text() == "mine"
    assert (root / "f").read_text() == "new"
    assert (root / "d/ok").read_text() == "x"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "victim"]


def test_links_are_followed_only_within_what_confines_them(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "usr/lib").mkdir(parents=True)
    (root / "lib").symlink_to("/usr/lib")
    (root / "up").symlink_to("../../..")

    def resolve(path: bytes) -> int:
        return open_in_root(root, os.fsdecode(path), os.O_RDONLY | os.O_DIRECTORY)

    into(root, tar(("lib/a", b"x"), ("up/b", b"y")), resolve=resolve)
    assert (root / "usr/lib/a").read_text() == "x"
    assert (root / "b").read_text() == "y"
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


def test_files_and_folders_do_not_take_each_others_place_where_that_is_forbidden(tmp_path: Path) -> None:
    root = tmp_path / "in"
    (root / "d").mkdir(parents=True)
    (root / "f").write_text("x")
    rules = Rules(what="the tar", mix=False)
    with refused("cannot overwrite directory 'd' with non-directory", InvalidArgument):
        into(root, tar(("d", b"x")), rules)
    with refused("cannot overwrite non-directory 'f' with directory", InvalidArgument):
        into(root, tar(("f", FOLDER)), rules)
    into(root, tar(("f", FOLDER), ("d", b"x")))
    assert (root / "f").is_dir()
    assert (root / "d").is_file()


@pytest.mark.root
def test_another_owner_for_everything(tmp_path: Path) -> None:
    into(tmp_path / "in", tar(("a/b/c", b"x")), Rules(what="the tar", owner=(33, 34)))
    for path in ("a", "a/b", "a/b/c"):
        found = (tmp_path / "in" / path).stat()
        assert (found.st_uid, found.st_gid) == (33, 34)
    assert (tmp_path / "in/a").stat().st_mode & 0o7777 == 0o755


def test_bombs(tmp_path: Path) -> None:
    data = gzip.compress(tar(("f", bytes(50 << 20))))
    limits = ArchiveLimits(size=10 << 20)
    with refused(f"cannot unpack the tar - it holds more than {10 << 20} bytes"):
        into(tmp_path / "a", data, limits=limits)
    with refused("cannot unpack the tar - it expands more than 100 times"):
        into(tmp_path / "b", data, limits=ArchiveLimits(expansion=100, floor=1 << 20))
    many = tar(*((f"f{number}", b"") for number in range(20)))
    with refused("cannot unpack the tar - it holds more than 10 entries"):
        into(tmp_path / "c", many, limits=ArchiveLimits(entries=10))


def test_errors_of_the_stream_come_through(tmp_path: Path) -> None:
    def chunks(compress: Callable[[bytes], bytes]) -> Any:
        yield compress(tar(("f", os.urandom(100_000))))[:50_000]
        raise ConnectionResetError("gone")

    (tmp_path / "in").mkdir()
    descriptor = os.open(tmp_path / "in", os.O_RDONLY | os.O_DIRECTORY)
    for compress in (bytes, gzip.compress):
        with pytest.raises(ConnectionResetError, match=r"^gone$"):
            unpack(chunks(compress), descriptor, rules=RULES)
    os.close(descriptor)


@pytest.mark.root
def test_swapped_while_unpacking(tmp_path: Path) -> None:
    """A container races us: the folder that is being filled becomes a link to the outside."""
    root, outside = tmp_path / "in", tmp_path / "outside"
    outside.mkdir()
    outside.chmod(0o700)
    (root / "d").mkdir(parents=True)

    def chunks() -> Any:
        data = tar(("d", FOLDER), ("d/one", b"x"), ("d/two", b"x" * 600), ("e", FOLDER), ("d/sub/x", b"y"))
        yield data[:1536]
        (root / "d").rename(root / "away")
        (root / "d").symlink_to(outside)
        yield data[1536:]

    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        unpack(chunks(), descriptor, rules=RULES)
    except DataError as error:
        assert error.message == "cannot unpack the tar - 'd' is used as a directory but is not one"
    finally:
        os.close(descriptor)
    assert list(outside.iterdir()) == []
    assert outside.stat().st_mode & 0o7777 == 0o700
