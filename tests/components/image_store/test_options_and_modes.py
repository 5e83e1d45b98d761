"""The options file and the code agree; each mode is what it says; layers survive a change of mode."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
from pathlib import Path

import pytest

import moby_components.image_store.overlay as package
from components.image_store.rooms import mounted, opened, refused, run_in, single, state_of, stream
from moby_components.common.tree.limits import Limits
from moby_components.image_store.overlay.content.index import Index
from moby_components.image_store.overlay.rootfs import modes
from moby_components.image_store.overlay.store import Overlay
from moby_py.errors import Unavailable
from moby_py.testing.room import make_context
from support.layers import directory, file, opaque, tar


def test_the_defaults_are_said_once() -> None:
    schema = json.loads((Path(package.__file__).parent / Overlay.schema).read_text())
    said = {name: option.get("default") for name, option in schema["properties"].items()}
    limits = Limits()
    assert said["max_layer_size"] == limits.size
    assert said["max_layer_entries"] == limits.entries
    assert said["max_expansion"] == limits.expansion
    assert Limits.from_options(said) == limits
    assert [need.optional for need in Overlay.needs_for(said)] == [True]
    assert [need.optional for need in Overlay.needs_for({"mode": "overlay"})] == [False]
    assert package.moby_components() == [Overlay]


def refusing(*_: object) -> None:
    raise PermissionError(1, "Operation not permitted")


def test_where_overlayfs_is_refused_it_is_said_and_images_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(modes, "_try_overlay", refusing)
    expected = (
        "overlayfs is not used: every container gets a copy of its image "
        "(overlay: operation not permitted; userxattr: operation not permitted)"
    )

    async def work(store: Overlay) -> None:
        assert store.describe() == expected
        image = await store.import_(stream(tar([file("a", b"1")])))
        rootfs = await store.prepare(image.id, "c")
        assert (Path(rootfs.mounts[0].source) / "a").read_bytes() == b"1"

    run_in(tmp_path, work)
    assert f"image_store: {expected}" in caplog.text


def test_who_refuses_to_copy_is_told_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modes, "_try_overlay", refusing)

    async def main() -> None:
        store = Overlay(make_context(Overlay, tmp_path, options={"mode": "overlay"}))
        error = await refused(store.open())
        assert isinstance(error, Unavailable)
        assert error.message == (
            "overlayfs is refused here - overlay: operation not permitted; userxattr: operation not permitted"
        )
        assert error.hint == "set image_store's option mode to auto, which copies instead"
        await store.close()
        monkeypatch.undo()
        if os.geteuid() == 0:
            async with opened(tmp_path, mode="overlay"):
                pass  # the failed open had let go of the lock

    asyncio.run(main())


@pytest.mark.root
def test_layers_of_another_mode_still_hide_what_they_hid(room: Path) -> None:
    """As when a state directory goes from a daemon in a user namespace to root's."""
    layers = [tar([directory("d"), file("d/hidden")]), tar([directory("d"), opaque("d"), file("d/shown")])]
    config = {
        "config": {},
        "rootfs": {"diff_ids": ["sha256:" + hashlib.sha256(x).hexdigest() for x in layers]},
    }
    manifest = [{"Config": "c", "RepoTags": ["x:1"], "Layers": ["0", "1"]}]
    data = tar(
        [
            file("manifest.json", json.dumps(manifest).encode()),
            file("c", json.dumps(config).encode()),
            *(file(str(n), gzip.compress(layer)) for n, layer in enumerate(layers)),
        ]
    )

    async def first(store: Overlay) -> None:
        single(await store.load(stream(data)))

    async def second(store: Overlay) -> None:
        with mounted(await store.prepare("x:1", "c"), room / "root") as root:
            assert [p.name for p in (root / "d").iterdir()] == ["shown"]

    run_in(room / "store", first)
    state = state_of(room / "store")
    (top,) = [p / "d" for p in (state / "l").iterdir() if (p / "d/shown").exists()]
    os.removexattr(top, "trusted.overlay.opaque")
    index = Index(state / "index.db")
    index.set_meta("prefix", "user.overlay.")
    index.close()
    run_in(room / "store", second)
    assert os.getxattr(top, "trusted.overlay.opaque") == b"y"
