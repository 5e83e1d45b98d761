"""Archives as other programs write them: GNU tar's formats, sparse files, names of any length."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.image_store.rooms import tree
from moby_components.common.tree.header import TarReader
from moby_components.common.tree.limits import Limits
from moby_components.common.tree.source import Source
from moby_components.common.tree.tarring import END, Member, header
from moby_components.image_store.overlay.unpack.extract import unpack
from moby_py.errors import DataError


def material(top: Path) -> None:
    top.mkdir()
    (top / "plain").write_bytes(b"x" * 3000)
    with (top / "holes").open("wb") as file:
        for at in (0, 70_000, 1 << 20, 5 << 20):
            file.seek(at)
            file.write(b"data%d" % at)
        file.truncate(9 << 20)
    with (top / "many-holes").open("wb") as file:
        for n in range(60):
            file.seek(n * 16384)
            file.write(b"%d" % n)
    (top / "only-a-hole").touch()
    os.truncate(top / "only-a-hole", 1 << 20)
    long = top / ("d" * 90) / ("e" * 90)
    long.mkdir(parents=True)
    (long / ("f" * 120)).write_bytes(b"long")
    (long / "link").symlink_to("t" * 180)
    (top / "hard").hardlink_to(top / "plain")
    for path in sorted(top.rglob("*"), reverse=True):
        os.utime(path, ns=(0, 1_600_000_000_000_000_000), follow_symlinks=False)


FORMS = {
    "gnu": ["--format=gnu"],
    "gnu sparse": ["--format=gnu", "--sparse"],
    "oldgnu sparse": ["--format=oldgnu", "--sparse"],
    "pax": ["--format=pax"],
    "pax sparse 0.0": ["--format=pax", "--sparse", "--sparse-version=0.0"],
    "pax sparse 0.1": ["--format=pax", "--sparse", "--sparse-version=0.1"],
    "pax sparse 1.0": ["--format=pax", "--sparse", "--sparse-version=1.0"],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_format_of_gnu_tar(tmp_path: Path, form: str) -> None:
    source, target, blob = tmp_path / "source", tmp_path / "target", tmp_path / "a.tar"
    material(source)
    target.mkdir()
    subprocess.run(["tar", "-C", str(source), *FORMS[form], "-cf", str(blob), "."], check=True)
    facts = unpack(blob, target, limits=Limits(), what="it", rootless=os.geteuid() != 0)
    assert tree(target) == tree(source)
    assert facts.entries == 10
    if "sparse" in form:
        assert (target / "holes").stat().st_blocks * 512 < 1 << 20


def test_v7_and_directories_by_their_slash(tmp_path: Path) -> None:
    blob, target, source = tmp_path / "a.tar", tmp_path / "target", tmp_path / "source"
    target.mkdir()
    (source / "d").mkdir(parents=True)
    (source / "d/f").write_bytes(b"v7")
    subprocess.run(["tar", "-C", str(source), "--format=v7", "-cf", str(blob), "d"], check=True)
    unpack(blob, target, limits=Limits(), what="it", rootless=True)
    assert (target / "d/f").read_bytes() == b"v7"


NAMES = st.binary(min_size=1, max_size=300).filter(lambda n: b"\0" not in n and n.strip(b"/"))


@settings(max_examples=100, deadline=None, database=None)
@given(
    name=NAMES,
    link=NAMES,
    uid=st.integers(0, 2**32 - 2),
    mtime=st.integers(-(2**36), 2**36),
    xattrs=st.dictionaries(
        st.text(st.characters(codec="ascii", exclude_characters="=\0"), min_size=1, max_size=20),
        st.binary(max_size=200),
        max_size=3,
    ),
)
def test_what_we_write_we_read(
    name: bytes, link: bytes, uid: int, mtime: int, xattrs: dict[str, bytes]
) -> None:
    """And so does Python's tarfile."""
    member = Member(name=name, type=b"2", mode=0o777, uid=uid, mtime=mtime, link=link, xattrs=xattrs)
    data = header(member) + END
    (found,) = TarReader(Source([data], "it"), Limits())
    assert (found.name, found.link, found.uid, found.mtime) == (name, link, uid, mtime * 10**9)
    assert found.xattrs == {os.fsencode(key): value for key, value in xattrs.items()}


def test_pythons_tarfile_reads_what_we_write(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    names = [b"short", b"p" * 90 + b"/" + b"q" * 90, b"r" * 250, b"s" * 100 + b"/" + b"t" * 200]
    path.write_bytes(
        b"".join(header(Member(name=n, uid=5_000_000, xattrs={"user.a": b"1"})) for n in names) + END
    )
    with tarfile.open(path) as archive:
        found = archive.getmembers()
    assert [f.name.encode() for f in found] == names
    assert {f.uid for f in found} == {5_000_000}
    assert {f.pax_headers["SCHILY.xattr.user.a"] for f in found} == {"1"}


@settings(max_examples=300, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.binary(max_size=3000), at=st.integers(0, 2000), base=st.booleans())
def test_no_bytes_give_anything_but_entries_or_a_clean_error(data: bytes, at: int, base: bool) -> None:
    """Noise, and good archives with noise in them."""
    whole = data
    if base:
        good = header(Member(name=b"a" * 200, xattrs={"user.x": b"y"})) + header(Member(name=b"b")) + END
        whole = good[:at] + data[:40] + good[at + len(data[:40]) :]
    try:
        for entry in TarReader(Source([whole], "it"), Limits()):
            assert entry.size >= 0
    except DataError as error:
        assert error.message.startswith("cannot ")
