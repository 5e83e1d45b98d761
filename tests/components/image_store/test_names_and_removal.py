"""Docker's rules of names: what each of them finds, and what goes when they go."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.image_store.rooms import leftovers, refused, run_in, stream
from moby_components.image_store.overlay.store import Overlay
from moby_py.errors import Conflict, InvalidArgument, NotFound
from moby_py.model import ImageRecord
from support.layers import file, tar

A, B = "docker.io/library/a:1", "docker.io/library/b:1"


async def made(store: Overlay, *names: str, content: bytes = b"x") -> ImageRecord:
    image = await store.import_(stream(tar([file("f", content)])), reference=names[0] if names else "")
    for name in names[1:]:
        await store.tag(image.id, name)
    return await store.inspect(image.id)


def test_what_finds_an_image(tmp_path: Path) -> None:
    async def work(store: Overlay) -> None:
        image = await made(store, A)
        digits = image.id[7:]
        for ref in (A, "a:1", image.id, digits, digits[:4], digits[:12], f"sha256:{digits[:10]}"):
            assert (await store.inspect(ref)).id == image.id, ref
        for ref in ("a:2", "a", digits[:3], "sha256:" + "0" * 64, "0" * 12, f"a@{image.id}", "!!", ""):
            error = await refused(store.inspect(ref))
            assert isinstance(error, NotFound)
            assert error.message == f"no such image: {ref}"

    run_in(tmp_path, work)


def test_an_ambiguous_beginning_and_a_name_that_looks_like_an_id(tmp_path: Path) -> None:
    async def work(store: Overlay) -> None:
        first, second = await made(store, content=b"1"), await made(store, content=b"2")
        short = first.id[7:11]
        await store.tag(second.id, f"docker.io/library/{short}:latest")
        assert (await store.inspect(short)).id == second.id, "a name goes before an id"
        index = store._stock.index
        index._db.execute(
            "INSERT INTO images SELECT substr(id, 1, 70) || 'x', manifest, stored, boot FROM images LIMIT 1"
        )
        twin = index._db.execute("SELECT id FROM images WHERE id LIKE '%x'").fetchone()[0]
        error = await refused(store.inspect(twin[7:40]))
        assert isinstance(error, InvalidArgument)
        assert error.message == f"image id {twin[7:40]} is ambiguous - several images begin with it"
        index.delete_image(twin)

    run_in(tmp_path, work)


def test_a_tag_moves(tmp_path: Path) -> None:
    async def work(store: Overlay) -> None:
        first, second = await made(store, A, content=b"1"), await made(store, B, content=b"2")
        await store.tag(second.id, A)
        await store.tag(second.id, A)
        assert (await store.inspect(A)).id == second.id
        assert (await store.inspect(second.id)).references == (A, B)
        assert (await store.inspect(first.id)).references == ()
        assert [i.id for i in await store.list()] == [second.id, first.id]
        with pytest.raises(InvalidArgument):
            await store.tag(first.id, "UPPER:1")
        with pytest.raises(NotFound):
            await store.tag("nothing", A)

    run_in(tmp_path, work)


def test_removal_by_name(tmp_path: Path) -> None:
    async def work(store: Overlay) -> None:
        image = await made(store, A, B)
        gone = await store.remove("a:1", in_use=[image.id])
        assert (gone.untagged, gone.deleted) == ((A,), ()), "only a name goes: it may be in use"
        error = await refused(store.remove("b:1", in_use=[image.id]))
        short = image.id[7:19]
        assert (type(error), error.message) == (
            Conflict,
            f'unable to remove repository reference "b:1" (must be forced) - a container is using its '
            f"referenced image {short}",
        )
        gone = await store.remove("b:1")
        assert gone.untagged == (B,)
        assert gone.deleted == (image.id, image.layers[0])

    run_in(tmp_path, work)
    assert leftovers(tmp_path) == []


def test_removal_by_id(tmp_path: Path) -> None:
    async def work(store: Overlay) -> None:
        image = await made(store, A, B)
        short = image.id[7:19]
        error = await refused(store.remove(short))
        assert (type(error), error.message) == (
            Conflict,
            f"unable to delete {short} (must be forced) - image is referenced in multiple repositories",
        )
        error = await refused(store.remove(short, in_use=[image.id]))
        assert isinstance(error, Conflict)
        gone = await store.remove(short, force=True)
        assert gone.untagged == (A, B)
        assert gone.deleted == (image.id, image.layers[0])
        single = await made(store, A)
        error = await refused(store.remove(single.id, in_use=[single.id]))
        short = single.id[7:19]
        assert error.message == (
            f"unable to delete {short} (must be forced) - a container is using its referenced image {short}"
        )
        await store.remove(single.id)
        assert isinstance(await refused(store.remove(single.id)), NotFound)

    run_in(tmp_path, work)
    assert leftovers(tmp_path) == []


def test_a_forced_removal_of_a_used_name_leaves_the_image(tmp_path: Path) -> None:
    async def work(store: Overlay) -> None:
        image = await made(store, A)
        gone = await store.remove(A, force=True, in_use=[image.id])
        assert (gone.untagged, gone.deleted) == ((A,), ())
        assert (await store.inspect(image.id)).references == ()

    run_in(tmp_path, work)


def test_shared_layers_stay(tmp_path: Path) -> None:
    async def work(store: Overlay) -> None:
        base = await made(store, A)
        await store.prepare(base.id, "c")
        own = tmp_path / "state/image_store/overlay/containers/c"
        ((own / "upper") if (own / "upper").exists() else (own / "root")).joinpath("new").write_bytes(b"1")
        child = await store.commit("c", image=base.id, reference=B)
        await store.release("c")
        gone = await store.remove(A)
        assert gone.deleted == (base.id,), "its layer is the child's too"
        assert (await store.inspect(B)).layers[0] == base.layers[0]
        gone = await store.remove(B)
        assert len(gone.deleted) == 3
        assert gone.deleted[0] == child.id

    run_in(tmp_path, work)
    assert leftovers(tmp_path) == []
