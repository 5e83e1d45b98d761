"""Containers on top of images: their roots, what they changed, what becomes of it."""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.image_store.rooms import (
    collected,
    leftovers,
    mounted,
    refused,
    run_in,
    single,
    state_of,
    stream,
)
from moby_components.image_store.overlay.store import Overlay
from moby_py.errors import DataError, InvalidArgument, NotFound
from moby_py.model import ImageRecord
from support.layers import directory, file, hardlink, symlink, tar

MODES = [pytest.param("overlay", marks=pytest.mark.root), pytest.param("copy", marks=pytest.mark.root)]


def base() -> bytes:
    return tar(
        [
            directory(".", mode=0o751, uid=11, gid=12),
            directory("etc"),
            file("etc/a", b"a"),
            file("etc/b", b"b"),
            directory("var"),
            directory("var/log"),
            file("var/log/one", b"1"),
            file("var/log/two", b"2"),
            directory("opt", mode=0o1777),
            file("opt/tool", b"tool", mode=0o4755),
            hardlink("opt/same", "opt/tool"),
            symlink("link", "etc"),
        ]
    )


async def loaded(store: Overlay) -> ImageRecord:
    return await store.import_(stream(base()), reference="docker.io/test/base:1", config={"Env": ["A=1"]})


def act(root: Path) -> None:
    """What `docker diff` is to tell."""
    (root / "etc/a").write_bytes(b"changed")
    (root / "etc/b").unlink()
    (root / "new").mkdir()
    (root / "new/file").write_bytes(b"x")
    shutil.rmtree(root / "var/log")
    (root / "var/log").mkdir()
    (root / "var/log/three").write_bytes(b"3")
    (root / "opt").chmod(0o755)
    (root / "link").unlink()
    (root / "link").write_bytes(b"a file now")


CHANGES = [
    ("/etc", 0),
    ("/etc/a", 0),
    ("/etc/b", 2),
    ("/link", 0),
    ("/new", 1),
    ("/new/file", 1),
    ("/opt", 0),
    ("/var", 0),
    ("/var/log", 0),
    ("/var/log/one", 2),
    ("/var/log/three", 1),
    ("/var/log/two", 2),
]


@pytest.mark.parametrize("mode", MODES)
def test_changes_and_the_layer_made_of_them(room: Path, mode: str) -> None:
    async def work(store: Overlay) -> None:
        image = await loaded(store)
        rootfs = await store.prepare(image.id, "c")
        assert await store.changes("c") == []
        with mounted(rootfs, room / "root") as root:
            st = root.stat()
            assert (st.st_mode & 0o7777, st.st_uid, st.st_gid) == (0o751, 11, 12)
            act(root)
            seen = [(change.path, change.kind) for change in await store.changes("c")]
            layer = await collected(store.diff("c"))
        assert seen == CHANGES
        with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
            members = {info.name: info for info in archive}
        assert sorted(members) == [
            "etc",
            "etc/.wh.b",
            "etc/a",
            "link",
            "new",
            "new/file",
            "opt",
            "var",
            "var/log",
            "var/log/.wh.one",
            "var/log/.wh.two",
            "var/log/three",
        ]
        assert members["opt"].mode == 0o755
        assert members["etc"].isdir()
        assert members["link"].isreg()

    run_in(room / "store", work, mode=mode)


@pytest.mark.parametrize("mode", MODES)
def test_commit_and_run_again(room: Path, mode: str) -> None:
    async def work(store: Overlay) -> None:
        image = await loaded(store)
        with mounted(await store.prepare(image.id, "c"), room / "root") as root:
            act(root)
        made = await store.commit(
            "c",
            image="docker.io/test/base:1",
            reference="docker.io/test/made:1",
            config={"Cmd": ["/new/file", "now"], "User": "7"},
            author="me",
            message="because",
        )
        assert made.references == ("docker.io/test/made:1",)
        assert made.config["config"] == {"Env": ["A=1"], "Cmd": ["/new/file", "now"], "User": "7"}
        assert made.config["author"] == "me"
        entry = made.config["history"][-1]
        assert (entry["created_by"], entry["comment"], entry["author"]) == ("/new/file now", "because", "me")
        assert made.layers[:-1] == image.layers
        with mounted(await store.prepare(made.id, "d"), room / "root") as root:
            assert sorted(p.name for p in (root / "var/log").iterdir()) == ["three"]
            assert sorted(p.name for p in (root / "etc").iterdir()) == ["a"]
            assert (root / "etc/a").read_bytes() == b"changed"
            assert (root / "link").read_bytes() == b"a file now"
            tool = (root / "opt/tool").stat()
            assert (tool.st_mode & 0o7777, tool.st_nlink) == (0o4755, 2)
        assert await store.changes("d") == []

    run_in(room / "store", work, mode=mode)


@pytest.mark.root
def test_a_container_that_changed_nothing_makes_no_layer(room: Path) -> None:
    async def work(store: Overlay) -> None:
        image = await loaded(store)
        await store.prepare(image.id, "c")
        made = await store.commit("c", image=image.id, message="nothing")
        assert made.layers == image.layers
        assert made.config["history"][-1]["empty_layer"] is True

    run_in(room, work)


@pytest.mark.parametrize("mode", MODES)
def test_prepare_twice_is_the_same_root_and_release_ends_it(room: Path, mode: str) -> None:
    async def first(store: Overlay) -> None:
        image = await loaded(store)
        rootfs = await store.prepare(image.id, "c")
        with mounted(rootfs, room / "root") as root:
            (root / "mine").write_bytes(b"kept")
        assert await store.prepare(image.id, "c") == rootfs

    async def second(store: Overlay) -> None:
        # Another daemon, and the image is gone from under it.
        (image,) = await store.list()
        await store.remove(image.id, force=True, in_use=[image.id])
        assert await store.list() == []
        rootfs = await store.prepare("docker.io/test/base:1", "c")
        with mounted(rootfs, room / "root") as root:
            assert (root / "mine").read_bytes() == b"kept"
            assert (root / "etc/a").read_bytes() == b"a"
        assert (await store.usage()).containers.keys() == {"c"}
        await store.release("c")
        await store.release("c")
        assert (await store.usage()).containers == {}
        report = await store.collect(containers=[])
        assert report.layers == 1
        error = await refused(store.changes("c"))
        assert (type(error), error.message) == (NotFound, "no such container: c")

    run_in(room / "store", first, mode=mode)
    run_in(room / "store", second, mode=mode)
    assert leftovers(room / "store") == []


@pytest.mark.root
def test_128_layers(room: Path) -> None:
    """More than one page of mount options, were they full paths."""
    deep = room / ("long-name-" * 15)
    deep.mkdir()

    async def work(store: Overlay) -> None:
        import gzip
        import hashlib
        import json

        layers = [tar([file(f"f{n}", b"%d" % n), file("last", b"%d" % n)]) for n in range(128)]
        config = json.dumps(
            {
                "config": {},
                "rootfs": {"diff_ids": ["sha256:" + hashlib.sha256(x).hexdigest() for x in layers]},
            }
        )
        manifest = [{"Config": "c", "RepoTags": None, "Layers": [f"l{n}" for n in range(128)]}]
        archive = tar(
            [
                file("manifest.json", json.dumps(manifest).encode()),
                file("c", config.encode()),
                *(file(f"l{n}", gzip.compress(x, 1, mtime=0)) for n, x in enumerate(layers)),
            ]
        )
        image = single(await store.load(stream(archive)))
        rootfs = await store.prepare(image.id, "c")
        assert len(",".join(rootfs.mounts[0].options)) < 4096
        with mounted(rootfs, room / "root") as root:
            assert len(list(root.iterdir())) == 129
            assert (root / "last").read_bytes() == b"127"
            (root / "last").unlink()
        assert [(c.path, c.kind) for c in await store.changes("c")] == [("/last", 2)]

    run_in(deep, work)


@pytest.mark.root
@pytest.mark.parametrize("name", ["comma,and:colon", "back\\slash", "sp ace"])
def test_a_state_directory_with_a_difficult_name(room: Path, name: str) -> None:
    async def work(store: Overlay) -> None:
        image = await loaded(store)
        with mounted(await store.prepare(image.id, "c"), room / "root") as root:
            assert (root / "etc/a").read_bytes() == b"a"
            (root / "x").touch()
        assert [c.path for c in await store.changes("c")] == ["/x"]

    run_in(room / name, work)


@pytest.mark.root
def test_an_image_without_layers(room: Path) -> None:
    async def work(store: Overlay) -> None:
        import json

        manifest = [{"Config": "c", "RepoTags": ["scratch:1"], "Layers": []}]
        data = tar(
            [file("manifest.json", json.dumps(manifest).encode()), file("c", b'{"rootfs":{"diff_ids":[]}}')]
        )
        image = single(await store.load(stream(data)))
        with mounted(await store.prepare(image.id, "c"), room / "root") as root:
            assert list(root.iterdir()) == []
            (root / "x").write_bytes(b"1")
        made = await store.commit("c", image=image.id)
        assert len(made.layers) == 1

    run_in(room / "store", work)


@pytest.mark.root
def test_a_container_cannot_make_the_store_read_the_host(room: Path) -> None:
    """Symbolic links, sockets and fifos in the writable layer: looked at, never followed or opened."""
    secret = room / "secret"
    secret.mkdir()
    (secret / "value").write_bytes(b"s3cret-value")

    async def work(store: Overlay) -> None:
        image = await loaded(store)
        with mounted(await store.prepare(image.id, "c"), room / "root") as root:
            shutil.rmtree(root / "etc")
            (root / "etc").symlink_to(secret)
            os.mkfifo(root / "pipe")
            with socket.socket(socket.AF_UNIX) as listener:
                here = os.open(root, os.O_PATH)
                listener.bind(f"/proc/self/fd/{here}/sock")
                os.close(here)
            data = await collected(store.diff("c"))
            changes = {c.path: c.kind for c in await store.changes("c")}
        assert b"s3cret-value" not in data
        assert changes == {"/etc": 0, "/pipe": 1, "/sock": 1}
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            kinds = {info.name: info.type for info in archive}
        assert kinds == {"etc": tarfile.SYMTYPE, "pipe": tarfile.FIFOTYPE}

    run_in(room / "store", work)


@pytest.mark.root
def test_a_layer_that_lost_its_directory_is_unpacked_again(room: Path) -> None:
    async def first(store: Overlay) -> None:
        await loaded(store)

    async def second(store: Overlay) -> None:
        with mounted(await store.prepare("docker.io/test/base:1", "c"), room / "root") as root:
            assert (root / "opt/tool").read_bytes() == b"tool"

    run_in(room / "store", first)
    shutil.rmtree(state_of(room / "store") / "l")
    run_in(room / "store", second)


def test_container_ids_that_are_no_names(room: Path) -> None:
    async def work(store: Overlay) -> None:
        image = await loaded(store)
        for bad in ("../evil", "", "a/b", ".", "x" * 200):
            assert isinstance(await refused(store.prepare(image.id, bad)), InvalidArgument)
        assert isinstance(await refused(store.prepare("nothing", "c")), NotFound)
        error = await refused(store.commit("ghost", image=image.id))
        assert error.message == "no such container: ghost"

    run_in(room, work)


@pytest.mark.root
def test_trees_deeper_than_a_path_can_say_are_thrown_away(room: Path) -> None:
    async def work(store: Overlay) -> None:
        image = await loaded(store)
        with mounted(await store.prepare(image.id, "c"), room / "root") as root:
            descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
            for _ in range(1500):
                os.mkdir("deeper", dir_fd=descriptor)
                below = os.open("deeper", os.O_RDONLY | os.O_DIRECTORY, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            os.close(descriptor)
            error = await refused(store.changes("c"))
        assert isinstance(error, DataError)
        assert error.message == "cannot look at the container's files - directories 401 deep"
        await store.release("c")
        await store.remove(image.id)

    run_in(room / "store", work)
    assert leftovers(room / "store") == []


@pytest.fixture(autouse=True)
def no_mount_stays(room: Path) -> Iterator[None]:
    yield
    found = subprocess.run(["cat", "/proc/self/mountinfo"], capture_output=True, text=True, check=True)
    assert str(room) not in found.stdout
