"""The store against a real registry: what arrives, what is shared, what a failure leaves."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

import pytest

from components.image_store.rooms import leftovers, mounted, opened, refused, run_in, state_of, stream, tree
from moby_components.image_store.overlay.store import Overlay
from moby_py.errors import DataError, NotFound
from moby_py.model import Progress
from support.images import Layout, nasty, platforms
from support.layers import directory, file, tar
from support.registry import Registry


def blob_requests(hub: Registry) -> list[str]:
    """Digests of blobs that were asked for, in order."""
    return [
        match[1]
        for line in hub.log
        if (match := re.search(r'"GET /v2/[^ ]*/blobs/(sha256:[0-9a-f]{64}) HTTP', line))
    ]


@pytest.mark.root
@pytest.mark.parametrize("how", ["gzip", "zstd"])
def test_pull_gives_the_tree_that_was_pushed(room: Path, shared_hub: Registry, how: str) -> None:
    layout = Layout(room / "oci")
    made = nasty(layout, "nasty", how)
    reference = shared_hub.push(layout.path, f"store/nasty:{how}", tag="nasty")
    told: list[Progress] = []

    async def work(store: Overlay) -> None:
        image = await store.pull(reference, progress=told.append)
        assert image.references == (reference,)
        assert image.repo_digests == (f"{shared_hub.address}/store/nasty@{made['digest']}",)
        assert image.manifest_digest == made["digest"]
        assert await store.inspect(image.repo_digests[0]) == image
        loaded = await store.load(stream(_packed(layout)))
        assert [i.id for i in loaded] == [image.id]
        with mounted(await store.prepare(reference, "c"), room / "root") as root:
            found = tree(root)
            assert found["setuid"][0] == "-rwsr-xr-x"
            assert found["owned"][1:3] == (300_000, 65_533)
            assert found["dev/null"][3] != 0
            assert "etc/gone" not in found

    run_in(room / "store", work)
    words = [p.status for p in told]
    assert words[0] == "Pulling from store/nasty"
    assert words.count("Pulling fs layer") == words.count("Pull complete") == words.count("Extracting") == 3
    assert words[-2:] == [f"Digest: {made['digest']}", f"Status: Downloaded newer image for {reference}"]


def _packed(layout: Layout) -> bytes:
    import subprocess

    return subprocess.run(
        ["tar", "-C", str(layout.path), "-cf", "-", "."], check=True, capture_output=True
    ).stdout


def test_a_second_pull_moves_no_layer(room: Path, hub: Registry) -> None:
    layout = Layout(room / "oci")
    layout.image([tar([file("a", b"1")]), tar([file("b", b"2")])], tag="one")
    layout.image([tar([file("a", b"1")]), tar([file("c", b"3")])], tag="two")
    one = hub.push(layout.path, "store/one:1", tag="one")
    two = hub.push(layout.path, "store/two:1", tag="two")

    async def work(store: Overlay) -> None:
        await store.pull(one)
        before = len(blob_requests(hub))
        told: list[Progress] = []
        await store.pull(one, progress=told.append)
        assert len(blob_requests(hub)) == before
        assert told[-1].status == f"Status: Image is up to date for {one}"
        await store.pull(two, progress=told.append)
        assert [p.status for p in told].count("Already exists") == 3
        assert len(blob_requests(hub)) == before + 2, "its config and its own layer"
        usage = await store.usage()
        assert usage.layers == 3
        assert sorted(usage.images.values()) == [2, 2]

    run_in(room / "store", work)


def test_pulls_at_once_share_each_blob_and_each_layer(room: Path, hub: Registry) -> None:
    layout = Layout(room / "oci")
    layout.image([tar([file(f"f{n}", b"%d" % n * 100_000)]) for n in range(5)], tag="x")
    reference = hub.push(layout.path, "store/shared:1", tag="x")

    async def main() -> None:
        async with opened(room / "store") as store:
            images = await asyncio.gather(*(store.pull(reference) for _ in range(6)))
            assert len({image.id for image in images}) == 1
            layers = [digest for digest in blob_requests(hub) if digest != images[0].id]
            assert len(layers) == len(set(layers)) == 5
            assert len([p for p in (state_of(room / "store") / "l").iterdir() if p.name != "empty"]) == 5

    asyncio.run(main())


def test_a_cancelled_pull_leaves_nothing_and_another_goes_on(room: Path, hub: Registry) -> None:
    layout = Layout(room / "oci")
    layout.image([tar([file(f"f{n}", bytes([n]) * 3_000_000)]) for n in range(4)], tag="x", how="")
    reference = hub.push(layout.path, "store/cancelled:1", tag="x")

    async def main() -> None:
        async with opened(room / "store") as store:
            seen = asyncio.Event()

            def tell(progress: Progress) -> None:
                if progress.status == "Extracting":
                    seen.set()

            first = asyncio.create_task(store.pull(reference, progress=tell))
            second = asyncio.create_task(store.pull(reference, progress=tell))
            await seen.wait()
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            image = await second
            assert image.size == 12_000_000
            await store.remove(image.id, force=True)
            assert leftovers(room / "store") == []
            seen.clear()
            third = asyncio.create_task(store.pull(reference, progress=tell))
            await seen.wait()
            third.cancel()
            with pytest.raises(asyncio.CancelledError):
                await third
            assert leftovers(room / "store") == []

    asyncio.run(main())


@pytest.mark.parametrize("damage", ["wrong bytes", "truncated", "hostile"])
def test_a_bad_layer_is_an_error_and_nothing_is_kept(room: Path, hub: Registry, damage: str) -> None:
    layout = Layout(room / "oci")
    hostile = tar([file("../evil")]) if damage == "hostile" else tar([file("b", b"2" * 5000)])
    made = layout.image([tar([file("a", b"1")]), hostile], tag="x", how="")
    reference = hub.push(layout.path, "store/bad:1", tag="x")
    digest = layout.json(made["digest"])["layers"][1]["digest"]
    stored = hub.blob(digest)
    if damage == "wrong bytes":
        stored.write_bytes(stored.read_bytes().replace(b"2222", b"3333", 1))
    elif damage == "truncated":
        stored.write_bytes(stored.read_bytes()[:3000])

    async def work(store: Overlay) -> None:
        error = await refused(store.pull(reference))
        if damage == "hostile":
            assert error.message == f"cannot unpack layer {digest[7:19]} - '../evil' points out of the layer"
        assert isinstance(error, DataError) or damage == "truncated"
        assert await store.list() == []

    run_in(room / "store", work)
    assert leftovers(room / "store") == []


def test_a_failed_pull_leaves_what_was_there(room: Path, hub: Registry) -> None:
    layout = Layout(room / "oci")
    layout.image([tar([file("a", b"1")])], tag="good")
    layout.image([tar([file("a", b"1")]), tar([file("../evil")])], tag="bad")
    reference = hub.push(layout.path, "store/moves:1", tag="good")

    async def work(store: Overlay) -> None:
        image = await store.pull(reference)
        hub.push(layout.path, "store/moves:1", tag="bad")
        await refused(store.pull(reference))
        assert await store.inspect(reference) == image
        assert isinstance(await refused(store.pull(f"{hub.address}/store/none:1")), NotFound)

    run_in(room / "store", work)


def test_a_name_that_moves(room: Path, hub: Registry) -> None:
    """The old image stays without a name, as with Docker, until somebody removes it."""
    layout = Layout(room / "oci")
    layout.image([tar([file("a", b"1")])], tag="old")
    layout.image([tar([file("a", b"2")])], tag="new")
    reference = hub.push(layout.path, "store/moving:1", tag="old")

    async def work(store: Overlay) -> None:
        old = await store.pull(reference)
        hub.push(layout.path, "store/moving:1", tag="new")
        new = await store.pull(reference)
        assert new.id != old.id
        assert (await store.inspect(old.id)).references == ()
        assert (await store.inspect(reference)).id == new.id
        by_digest = await store.pull(old.repo_digests[0])
        assert (by_digest.id, by_digest.references) == (old.id, ())

    run_in(room / "store", work)


def test_another_platform_is_taken_when_asked_for(room: Path, shared_hub: Registry) -> None:
    layout = Layout(room / "oci")
    platforms(layout, "many")
    reference = shared_hub.push(layout.path, "store/many:1", tag="many", every=True)

    async def work(store: Overlay) -> None:
        image = await store.pull(reference, platform="linux/s390x")
        assert image.architecture == "s390x"

    run_in(room / "store", work)


@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_pull_push_and_what_skopeo_says_of_it(room: Path, hub: Registry, form: str) -> None:
    layout = Layout(room / "oci")
    layout.image([tar([directory("d"), file("d/a", b"1")]), tar([file("b", b"2")])], tag="x")
    reference = hub.push(layout.path, "store/source:1", tag="x", form="v2s2" if form == "v2s2" else "")

    async def work(store: Overlay) -> None:
        image = await store.pull(reference)
        target = f"{hub.address}/store/target:2"
        error = await refused(store.push(target))
        assert error.message == f"an image does not exist locally with the tag: {hub.address}/store/target"
        await store.tag(image.id, target)
        told: list[Progress] = []
        digest = await store.push(target, progress=told.append)
        assert digest == image.manifest_digest
        assert hub.inspect("store/target:2")["Digest"] == digest
        assert f"{hub.address}/store/target@{digest}" in (await store.inspect(target)).repo_digests
        assert [p.status for p in told].count("Mounted from store/source") == 2
        told.clear()
        await store.push(target, progress=told.append)
        assert [p.status for p in told].count("Layer already exists") == 2

    run_in(room / "store", work)


def test_what_is_committed_here_can_be_pushed_and_pulled_again(room: Path, hub: Registry) -> None:
    async def work(store: Overlay) -> None:
        base = await store.import_(stream(tar([file("a", b"1")])), reference=f"{hub.address}/store/made:1")
        digest = await store.push(f"{hub.address}/store/made:1")
        await store.remove(base.id, force=True)
        assert await store.list() == []
        again = await store.pull(f"{hub.address}/store/made:1")
        assert (again.id, again.manifest_digest) == (base.id, digest)

    run_in(room / "store", work)
    shutil.rmtree(room / "store")
