"""Archives in and out: with ourselves, with skopeo, with podman, old and new, compressed and plain."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from components.image_store.rooms import collected, leftovers, opened, refused, run_in, single, stream
from moby_components.image_store.overlay.store import Overlay
from moby_py.errors import DataError, NotFound
from moby_py.model import Progress
from support.images import Layout, platforms
from support.layers import directory, file, symlink, tar

NAME = "docker.io/library/shop:1"


def layers() -> list[bytes]:
    return [
        tar([directory("bin"), file("bin/app", b"#!/bin/sh\n", mode=0o755)]),
        tar([file("etc", b"x" * 10_000)]),
    ]


def layout_tar(room: Path, *, how: str = "gzip", tag: str = NAME) -> bytes:
    layout = Layout(room / f"oci-{how}")
    layout.image(layers(), {"Cmd": ["/bin/app"]}, how=how, tag=tag)
    return packed(layout)


def packed(layout: Layout) -> bytes:
    return subprocess.run(
        ["tar", "-C", str(layout.path), "-cf", "-", "."], check=True, capture_output=True
    ).stdout


def skopeo(*argv: str) -> str:
    if shutil.which("skopeo") is None:
        pytest.skip("needs skopeo (apt-get install skopeo)")
    done = subprocess.run(["skopeo", "--insecure-policy", *argv], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("outer", ["", "gzip", "zstd"])
@pytest.mark.parametrize("how", ["gzip", "zstd", ""])
def test_an_oci_layout_keeps_its_digests(tmp_path: Path, how: str, outer: str) -> None:
    data = layout_tar(tmp_path, how=how)
    layout = Layout(tmp_path / f"oci-{how}")
    (listed,) = json.loads((layout.path / "index.json").read_text())["manifests"]
    data = {"": data, "gzip": gzip.compress(data, 1), "zstd": zstd.compress(data)}[outer]

    async def work(store: Overlay) -> None:
        image = single(await store.load(stream(data)))
        assert image.references == (NAME,)
        assert image.manifest_digest == listed["digest"]
        assert image.id == layout.json(listed["digest"])["config"]["digest"]
        assert image.config["config"] == {"Cmd": ["/bin/app"]}
        assert image.size == 10_010
        assert await store.inspect(image.id[7:17]) == image

    run_in(tmp_path / "store", work)


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_what_skopeo_writes_we_load(tmp_path: Path, form: str) -> None:
    layout = Layout(tmp_path / "oci")
    made = layout.image(layers(), {"Cmd": ["/bin/app"]}, tag="x")
    archive = tmp_path / "a.tar"
    skopeo("copy", f"oci:{layout.path}:x", f"{form}:{archive}:{NAME}")

    async def work(store: Overlay) -> None:
        image = single(await store.load(stream(archive.read_bytes())))
        assert image.references == (NAME,)
        assert image.layers == tuple("sha256:" + hashlib.sha256(x).hexdigest() for x in layers())
        if form == "oci-archive":
            assert image.manifest_digest == made["digest"]

    run_in(tmp_path / "store", work)


@pytest.mark.parametrize("how", ["gzip", "zstd", ""])
def test_what_we_save_skopeo_reads_as_both(tmp_path: Path, how: str) -> None:
    archive = tmp_path / "saved.tar"

    async def work(store: Overlay) -> tuple[str, str]:
        image = single(await store.load(stream(layout_tar(tmp_path, how=how))))
        archive.write_bytes(await collected(store.save([NAME])))
        assert archive.read_bytes() == await collected(store.save([NAME])), "the same bytes every time"
        return image.id, image.manifest_digest

    image_id, digest = run_in(tmp_path / "store", work)
    as_oci = tmp_path / "as-oci"
    skopeo("copy", f"oci-archive:{archive}:1", f"dir:{as_oci}")
    manifest = (as_oci / "manifest.json").read_bytes()
    assert "sha256:" + hashlib.sha256(manifest).hexdigest() == digest
    as_docker = tmp_path / "as-docker"
    skopeo("copy", f"docker-archive:{archive}:{NAME}", f"oci:{as_docker}:x")
    config = json.loads(skopeo("inspect", "--config", f"oci:{as_docker}:x"))
    assert config["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(x).hexdigest() for x in layers()]
    assert json.loads(skopeo("inspect", f"docker-archive:{archive}:{NAME}"))["Name"] == NAME[:-2]
    assert image_id == "sha256:" + hashlib.sha256(json_bytes(tmp_path, how)).hexdigest()


def json_bytes(room: Path, how: str) -> bytes:
    layout = Layout(room / f"oci-{how}")
    (listed,) = json.loads((layout.path / "index.json").read_text())["manifests"]
    return layout.blob_path(layout.json(listed["digest"])["config"]["digest"]).read_bytes()


@pytest.mark.root
def test_what_we_save_podman_loads(tmp_path: Path) -> None:
    if shutil.which("podman") is None:
        pytest.skip("needs podman (apt-get install podman)")
    archive = tmp_path / "saved.tar"

    async def work(store: Overlay) -> str:
        image = single(await store.load(stream(layout_tar(tmp_path))))
        archive.write_bytes(await collected(store.save([NAME])))
        return image.id

    image_id = run_in(tmp_path / "store", work)
    short = Path(tempfile.mkdtemp(prefix="moby-py-", dir="/tmp"))  # podman allows 50 characters
    podman = ["podman", "--root", f"{short}/p", "--runroot", f"{short}/r", "--storage-driver", "vfs"]
    try:
        loaded = subprocess.run([*podman, "load", "-i", str(archive)], capture_output=True, text=True)
        assert loaded.returncode == 0, loaded.stderr
        shown = subprocess.run(
            [*podman, "images", "--no-trunc", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}"],
            capture_output=True,
            text=True,
            check=True,
        )
        # podman reads it as an OCI archive, whose bare tag is all the name it takes.
        assert shown.stdout.split()[0] == image_id
    finally:
        subprocess.run([*podman, "rmi", "-af"], capture_output=True, check=False)
        shutil.rmtree(short)


def docker_archive(*, links: bool = False) -> bytes:
    """As docker save wrote it until version 24: a folder per layer, a layer that is there twice as a
    symbolic link."""
    one, two = layers()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": "2020-01-01T00:00:00Z",
            "config": {"Cmd": ["/bin/app"]},
            "rootfs": {
                "type": "layers",
                "diff_ids": ["sha256:" + hashlib.sha256(x).hexdigest() for x in (one, two, two)],
            },
        }
    ).encode()
    name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = [
        {
            "Config": name,
            "RepoTags": ["shop:1", "shop:latest"],
            "Layers": ["a/layer.tar", "b/layer.tar", "c/layer.tar"],
        }
    ]
    again = symlink("c/layer.tar", "../b/layer.tar") if links else file("c/layer.tar", two)
    return tar(
        [
            directory("a"),
            file("a/VERSION", b"1.0"),
            file("a/json", b"{}"),
            file("a/layer.tar", one),
            file("b/layer.tar", two),
            again,
            file(name, config),
            file("manifest.json", json.dumps(manifest).encode()),
            file("repositories", b"{}"),
        ]
    )


@pytest.mark.parametrize("links", [False, True])
def test_an_archive_of_an_older_docker(tmp_path: Path, links: bool) -> None:
    async def work(store: Overlay) -> None:
        told: list[Progress] = []
        image = single(await store.load(stream(docker_archive(links=links)), progress=told.append))
        assert [p.current for p in told] == [0] * 3 + [p.total for p in told[3:]], "each begins, and is done"
        assert image.references == ("docker.io/library/shop:1", "docker.io/library/shop:latest")
        assert len(image.layers) == 3
        assert image.created == "2020-01-01T00:00:00Z"
        again = single(await store.load(stream(docker_archive())))
        assert again == image, "loading it twice changes nothing"

    run_in(tmp_path, work)


def test_several_images_and_names_travel_together(tmp_path: Path) -> None:
    async def work(store: Overlay) -> None:
        first = single(await store.load(stream(layout_tar(tmp_path))))
        second = await store.import_(stream(tar([file("other")])), reference="example.com/other:2")
        third = await store.import_(stream(tar([file("nameless")])))
        await store.tag(first.id, "docker.io/me/also:3")
        data = await collected(store.save([NAME, "docker.io/me/also:3", "example.com/other:2", third.id]))
        for image in await store.list():
            await store.remove(image.id, force=True)
        assert await store.list() == []
        found = {image.id: image for image in await store.load(stream(data))}
        assert found[first.id].references == (NAME, "docker.io/me/also:3")
        assert found[second.id].references == ("example.com/other:2",)
        assert found[third.id].references == ()
        assert found[first.id].manifest_digest == first.manifest_digest

    run_in(tmp_path / "store", work)


def test_of_many_platforms_this_hosts_is_taken(tmp_path: Path) -> None:
    import platform as host

    layout = Layout(tmp_path / "oci")
    platforms(layout, "docker.io/test/many:1")

    async def work(store: Overlay) -> None:
        image = single(await store.load(stream(packed(layout))))
        assert image.architecture == {"x86_64": "amd64", "aarch64": "arm64"}[host.machine()]
        assert image.references == ("docker.io/test/many:1",)

    run_in(tmp_path / "store", work)


def broken(room: Path, change: Any) -> bytes:
    layout = Layout(room / "broken")
    made = layout.image(layers(), {}, tag=NAME)
    change(layout, made)
    return packed(layout)


def spoil(layout: Layout, digest: str) -> None:
    path = layout.blob_path(digest)
    path.write_bytes(b"#" + path.read_bytes()[1:])


BROKEN: dict[str, tuple[Any, str]] = {
    "manifest": (
        lambda layout, made: spoil(layout, made["digest"]),
        "cannot load the archive - blob {manifest} has another digest or size",
    ),
    "config": (
        lambda layout, made: spoil(layout, layout.json(made["digest"])["config"]["digest"]),
        "cannot load the archive - blob {config} has another digest or size",
    ),
    "layer": (
        lambda layout, made: spoil(layout, layout.json(made["digest"])["layers"][1]["digest"]),
        "blob {layer} is not what it should be - its bytes have digest {actual}",
    ),
    "layer missing": (
        lambda layout, made: layout.blob_path(layout.json(made["digest"])["layers"][1]["digest"]).unlink(),
        "cannot load the archive - 'blobs/sha256/{layer_hex}' is missing in it",
    ),
    "index": (
        lambda layout, made: (layout.path / "index.json").write_text("[]"),
        "index.json of the archive is damaged - not a JSON object",
    ),
    "no image": (
        lambda layout, made: (layout.path / "index.json").write_text('{"manifests":[]}'),
        "cannot load the archive - it holds no image for this platform",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_archive_leaves_nothing(tmp_path: Path, what: str) -> None:
    change, message = BROKEN[what]
    layout = Layout(tmp_path / "whole")
    made = layout.image(layers(), {}, tag=NAME)
    manifest = layout.json(made["digest"])
    layer = manifest["layers"][1]["digest"]
    spoilt = b"#" + layout.blob_path(layer).read_bytes()[1:]
    data = broken(tmp_path, change)

    async def work(store: Overlay) -> None:
        error = await refused(store.load(stream(data)))
        assert isinstance(error, DataError)
        assert error.message == message.format(
            manifest=made["digest"],
            config=manifest["config"]["digest"],
            layer=layer,
            layer_hex=layer[7:],
            actual="sha256:" + hashlib.sha256(spoilt).hexdigest(),
        )
        assert await store.list() == []

    run_in(tmp_path / "store", work)
    assert leftovers(tmp_path / "store") == []


@pytest.mark.parametrize(
    ("data", "message", "hint"),
    [
        (
            tar([file("bin/sh")]),
            "cannot load the archive - neither an OCI layout nor a docker-archive",
            "a filesystem tar becomes an image by import",
        ),
        (
            tar([file("repositories", b"{}")]),
            "cannot load the archive - it was written by a Docker before 1.10",
            "save the image again with a newer Docker",
        ),
        (
            tar([file("manifest.json", b"{}")]),
            "cannot load the archive - manifest.json is not a list of images",
            None,
        ),
        (
            tar([file("manifest.json", b'[{"Config": 1}]')]),
            "cannot load the archive - manifest.json is malformed",
            None,
        ),
        (
            tar([file("manifest.json", b'[{"Config": "../../etc/shadow"}]')]),
            "cannot unpack the archive - '../../etc/shadow' points out of the layer",
            None,
        ),
        (b"", "cannot load the archive - neither an OCI layout nor a docker-archive", None),
        (
            b"no tar" * 200,
            "cannot read the archive - not a tar archive (malformed number)",
            None,
        ),
    ],
)
def test_what_is_no_archive(tmp_path: Path, data: bytes, message: str, hint: str | None) -> None:
    async def work(store: Overlay) -> None:
        error = await refused(store.load(stream(data)))
        assert error.message == message
        if hint:
            assert error.hint == hint

    run_in(tmp_path, work)
    assert leftovers(tmp_path) == []


def test_a_stream_that_breaks_off_and_one_that_is_left(tmp_path: Path) -> None:
    """The sender dies in the middle; the receiver of a save goes away in the middle."""

    async def dying() -> Any:
        yield b"x" * 5000
        raise ConnectionResetError

    async def main() -> None:
        async with opened(tmp_path) as store:
            with pytest.raises(ConnectionResetError):
                await store.load(dying())
            assert leftovers(tmp_path) == []
            big = await store.import_(stream(tar([file("big", bytes(range(256)) * 40_000)])))
            saving = store.save([big.id])
            await anext(saving)
            await saving.aclose()  # type: ignore[attr-defined]
            await store.remove(big.id)
            assert leftovers(tmp_path) == []
            assert isinstance(await refused(collected(store.save(["nothing"]))), NotFound)

    asyncio.run(main())
