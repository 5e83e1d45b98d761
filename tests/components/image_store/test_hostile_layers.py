"""Layers that want out, or too much: each refused with its own words, nothing kept, nothing touched."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
import os
import struct
import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from isal import igzip

from components.image_store.rooms import leftovers, opened, refused, run_in, single, stream
from moby_components.image_store.overlay.store import Overlay
from moby_py.errors import DataError
from support.layers import device, directory, file, hardlink, symlink, tar, whiteout


def raw_header(name: bytes, size: bytes = b"0" * 11, kind: bytes = b"0") -> bytes:
    block = name.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + size.ljust(12, b"\0")
    block += b"00000000000\0" + b" " * 8 + kind + b"\0" * 100 + b"ustar\x0000" + b"\0" * 247
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def pax(records: bytes) -> bytes:
    body = records + b"\0" * (-len(records) % 512)
    return raw_header(b"pax", b"%011o" % len(records), b"x") + body + raw_header(b"file") + b"\0" * 1024


def deep(levels: int) -> bytes:
    return tar([file("/".join(["d"] * levels) + "/f")])


Where = str
HOSTILE: dict[str, tuple[bytes | Callable[[Where], bytes], str]] = {
    "climbs": (tar([file("../evil", b"x")]), "cannot unpack {what} - '../evil' points out of the layer"),
    "climbs inside": (
        tar([file("a/../../evil", b"x")]),
        "cannot unpack {what} - 'a/../../evil' points out of the layer",
    ),
    "through its own link": (
        lambda where: tar([symlink("out", where), file("out/evil", b"x")]),
        "cannot unpack {what} - 'out' is used as a directory but is not one",
    ),
    "through a relative link": (
        lambda where: tar([symlink("out", "../" * 40 + where), directory("out/sub")]),
        "cannot unpack {what} - 'out' is used as a directory but is not one",
    ),
    "through a file": (
        tar([file("out"), file("out/evil", b"x")]),
        "cannot unpack {what} - 'out' is used as a directory but is not one",
    ),
    "hard link out": (
        lambda where: tar([hardlink("evil", f"../../..{where}/value")]),
        "cannot unpack {what} - '../../..{where}/value' points out of the layer",
    ),
    "hard link through a link": (
        lambda where: tar([symlink("out", where), hardlink("evil", "out/value")]),
        "cannot unpack {what} - 'out' is used as a directory but is not one",
    ),
    "hard link to an absolute name": (
        lambda where: tar([hardlink("evil", f"{where}/value")]),
        "cannot unpack {what} - 'evil' is a hard link to '{below}/value', not there",
    ),
    "hard link to itself": (
        tar([hardlink("evil", "./evil")]),
        "cannot unpack {what} - 'evil' is a hard link to itself or to nothing",
    ),
    "hard link to a directory": (
        tar([directory("d"), hardlink("evil", "d")]),
        "cannot unpack {what} - 'evil' is a hard link to a directory",
    ),
    "whiteout of the parent": (
        tar([directory("a"), file("a/.wh...")]),
        "cannot unpack {what} - 'a/.wh...' points out of the layer",
    ),
    "whiteout through a link": (
        lambda where: tar([symlink("out", where), whiteout("out/value")]),
        "cannot unpack {what} - 'out' is used as a directory but is not one",
    ),
    "zero byte in a name": (
        pax(b"14 path=a\0b/c\n"),
        "cannot unpack {what} - a name holds a zero byte: 'a\\x00b/c'",
    ),
    "nameless": (tar([symlink("./", "x")]), "cannot unpack {what} - an entry without a name"),
    "too deep": (deep(600), "cannot unpack {what} - a path is 601 directories deep"),
    "pax that lies about its length": (
        pax(b"99 path=abc\n"),
        "cannot read {what} - malformed pax header",
    ),
    "pax without a length": (pax(b"path=abc\n"), "cannot read {what} - malformed pax header"),
    "giant extended header": (
        raw_header(b"x", b"%011o" % (1 << 30), b"x") + b"\0" * 1024,
        "cannot read {what} - extended header of 1073741824 bytes",
    ),
    "negative size": (
        raw_header(b"x", b"\xff" * 12),
        "cannot read {what} - not a tar archive (negative size)",
    ),
    "garbage": (b"garbage!" * 200, "cannot read {what} - not a tar archive (malformed number)"),
    "wrong checksum": (
        tar([file("a")]).replace(b"a", b"b", 1),
        "cannot read {what} - not a tar archive (checksum of a header is wrong)",
    ),
    "cut in the data": (
        tar([file("a", b"x" * 9000)])[:5000],
        "cannot read {what} - the tar ends in the middle of an entry",
    ),
    "cut in a header": (
        tar([file("a")])[:300],
        "cannot read {what} - the tar ends in the middle of an entry",
    ),
    "unknown kind": (
        raw_header(b"x", kind=b"Q") + b"\0" * 1024,
        "cannot unpack {what} - unknown kind of tar entry b'Q'",
    ),
    "owner beyond 32 bits": (
        tar([file("a", uid=1 << 33)]),
        "cannot unpack {what} - owner 8589934592:0 is out of range",
    ),
    "name too long for a disk": (tar([file("n" * 300)]), "cannot unpack {what} - file name too long"),
    "sparse map that overlaps": (
        pax(b"24 GNU.sparse.size=1000\n28 GNU.sparse.map=0,10,5,10\n"),
        "cannot read {what} - malformed sparse file",
    ),
}


def archive(layer: bytes, *, compressed: bool = True) -> bytes:
    """A docker-archive with one image of one layer."""
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
        }
    ).encode()
    manifest = json.dumps([{"Config": "c.json", "RepoTags": ["evil:1"], "Layers": ["layer.tar"]}]).encode()
    data = gzip.compress(layer, 1, mtime=0) if compressed else layer
    return tar([file("manifest.json", manifest), file("c.json", config), file("layer.tar", data)])


@pytest.mark.parametrize("case", HOSTILE, ids=str)
def test_refused_and_nothing_kept(tmp_path: Path, case: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "value").write_text("unharmed")
    made, message = HOSTILE[case]
    layer = made if isinstance(made, bytes) else made(str(outside))
    before = seen(tmp_path)

    async def work(store: Overlay) -> None:
        error = await refused(store.load(stream(archive(layer))))
        assert isinstance(error, DataError)
        short = error.message.partition(" - ")[0].rpartition(" ")[2]
        assert len(short) == 12
        what = f"layer {short}"
        assert error.message == message.format(what=what, where=outside, below=str(outside).lstrip("/"))
        assert await store.list() == []

    run_in(tmp_path / "store", work)
    assert leftovers(tmp_path / "store") == []
    assert seen(tmp_path) == before


def seen(top: Path) -> list[tuple[str, int, bytes]]:
    """All that is outside of the store, with link counts and contents."""
    paths = [p for p in sorted(top.rglob("*")) if "store" not in p.relative_to(top).parts[:1]]
    return [(str(p), p.lstat().st_nlink, p.read_bytes() if p.is_file() else b"") for p in paths]


def _entries(layer: bytes) -> list[tuple[tarfile.TarInfo, bytes]]:
    found = []
    with tarfile.open(fileobj=io.BytesIO(layer)) as opened_tar:
        for info in opened_tar:
            stored = opened_tar.extractfile(info) if info.isreg() else None
            found.append((info, stored.read() if stored else b""))
    return found


def test_the_table_would_notice_an_escape(room: Path) -> None:
    """The same shapes without the hostile turn are taken: the refusals are not for something else."""
    good = tar([directory("out"), file("out/fine", b"x"), hardlink("same", "/out/fine"), file("/abs", b"y")])

    async def work(store: Overlay) -> None:
        image = single(await store.load(stream(archive(good))))
        assert image.size == 2

    run_in(room / "store", work)
    (layer,) = [p for p in (room / "store/state/image_store/overlay/l").iterdir() if p.name != "empty"]
    assert sorted(p.name for p in layer.iterdir()) == ["abs", "out", "same"]


@cache
def bomb(size: int) -> bytes:
    """A gzip member of `size` zeros as one file in a tar, without ever holding them."""
    buffer = io.BytesIO()
    with igzip.IGzipFile(fileobj=buffer, mode="wb", compresslevel=3) as out:
        info = tarfile.TarInfo("zeros")
        info.size = size
        out.write(info.tobuf())
        for _ in range(size >> 20):
            out.write(b"\0" * (1 << 20))
        out.write(b"\0" * 1024)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        (
            {},
            "expands more than 200 times",
            "raise image_store's option max_expansion if this image is meant",
        ),
        (
            {"max_layer_size": 1 << 20},
            "holds more than 1048576 bytes",
            "raise image_store's option max_layer_size if this image is meant",
        ),
    ],
)
def test_a_decompression_bomb(room: Path, options: dict[str, int], message: str, hint: str) -> None:
    layer = bomb(300 << 20)
    config = {"config": {}, "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]}}
    manifest = [{"Config": "c.json", "RepoTags": None, "Layers": ["layer.tar"]}]
    data = tar(
        [
            file("manifest.json", json.dumps(manifest).encode()),
            file("c.json", json.dumps(config).encode()),
            file("layer.tar", layer),
        ]
    )

    async def work(store: Overlay) -> None:
        error = await refused(store.load(stream(data)))
        assert error.message.endswith(f" - it {message}")
        assert error.hint == hint

    run_in(room, work, **options)
    assert leftovers(room) == []


def test_too_many_entries(room: Path) -> None:
    layer = tar([file(f"f{n}") for n in range(20)])

    async def work(store: Overlay) -> None:
        error = await refused(store.load(stream(archive(layer))))
        assert error.message.endswith(" - it holds more than 10 entries")
        assert error.hint == "raise image_store's option max_layer_entries if this image is meant"

    run_in(room, work, max_layer_entries=10)
    assert leftovers(room) == []


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_damaged_compression(room: Path, damage: str) -> None:
    layer = tar([file("a", os.urandom(50_000))])
    packed = bytearray(gzip.compress(layer, 1, mtime=0))
    if damage == "truncated":
        del packed[20_000:]
    else:
        packed[-6] ^= 1  # in the checksum
    data = archive(layer).replace(gzip.compress(layer, 1, mtime=0), bytes(packed))
    if damage == "truncated":
        data = _archive_of(layer, bytes(packed))

    async def work(store: Overlay) -> None:
        error = await refused(store.load(stream(data)))
        assert " - gzip data is damaged: " in error.message

    run_in(room, work)
    assert leftovers(room) == []


def _archive_of(layer: bytes, packed: bytes) -> bytes:
    members = [(i, d) for i, d in _entries(archive(layer)) if i.name != "layer.tar"]
    return tar([*members, file("layer.tar", packed)])


def test_a_layer_that_is_not_the_one_its_image_names(room: Path) -> None:
    data = _archive_of(tar([file("a", b"1")]), gzip.compress(tar([file("a", b"2")]), mtime=0))

    async def work(store: Overlay) -> None:
        error = await refused(store.load(stream(data)))
        assert " is not what its image says - its content is sha256:" in error.message
        assert await store.list() == []

    run_in(room, work)
    assert leftovers(room) == []


@pytest.mark.root
def test_orders_to_overlayfs_and_marks_of_it_are_not_taken(room: Path) -> None:
    """trusted.overlay.* of an image's maker would steer the kernel; security.* are data like any."""
    layer = tar(
        [
            directory("d", xattrs={"trusted.overlay.redirect": b"/other", "trusted.overlay.opaque": b"y"}),
            file("f", b"x", xattrs={"user.overlay.whiteout": b"y", "trusted.mine": b"kept"}),
            device("null", 1, 3),
        ]
    )

    async def work(store: Overlay) -> None:
        await store.load(stream(archive(layer)))

    run_in(room, work)
    (top,) = [p for p in (room / "state/image_store/overlay/l").iterdir() if p.name != "empty"]
    assert os.listxattr(top / "d") == []
    assert os.listxattr(top / "f") == ["trusted.mine"]
    assert (top / "null").stat().st_rdev == os.makedev(1, 3)


def test_one_bad_layer_stops_the_others_and_all_go(room: Path) -> None:
    """Three layers at once; the middle one is hostile and the others are large."""
    layers = [
        tar([file("a", os.urandom(6 << 20))]),
        tar([file("../b")]),
        tar([file("c", os.urandom(6 << 20))]),
    ]
    config = {
        "config": {},
        "rootfs": {"diff_ids": ["sha256:" + hashlib.sha256(x).hexdigest() for x in layers]},
    }
    manifest = [{"Config": "c.json", "RepoTags": None, "Layers": ["0", "1", "2"]}]
    data = tar(
        [
            file("manifest.json", json.dumps(manifest).encode()),
            file("c.json", json.dumps(config).encode()),
            *(file(str(n), gzip.compress(layer, 1, mtime=0)) for n, layer in enumerate(layers)),
        ]
    )

    async def main() -> None:
        async with opened(room) as store:
            error = await refused(store.load(stream(data)))
            assert error.message.endswith(" - '../b' points out of the layer")
            assert leftovers(room) == []
            assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_base_256_numbers_and_entries_are_bounded() -> None:
    """A header whose owner needs base 256 is read as the number it is."""
    from moby_components.common.tree.header import TarReader
    from moby_components.common.tree.limits import Limits
    from moby_components.common.tree.source import Source

    block = bytearray(raw_header(b"f"))
    block[108:116] = b"\x80" + (300_000).to_bytes(7, "big")
    block[148:156] = b" " * 8
    block[148:156] = struct.pack("8s", b"%06o\0 " % sum(block))
    (found,) = TarReader(Source([bytes(block), b"\0" * 1024], "x"), Limits())
    assert (found.name, found.uid) == (b"f", 300_000)
