"""Image configs of wrong JSON types: refused on the way in, since clients could not read them out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.image_store.rooms import leftovers, refused, run_in, state_of, stream
from moby_components.image_store.overlay.content.documents import parse_config
from moby_components.image_store.overlay.store import Overlay
from moby_py.errors import DataError
from support.layers import file, tar

ROOTFS = {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]}


def parsed(config: Any) -> dict[str, Any]:
    return parse_config(json.dumps({"rootfs": ROOTFS, "config": config}).encode(), "abc")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("User", 5),
        ("WorkingDir", ["/"]),
        ("Env", "A=1"),
        ("Env", [1]),
        ("Cmd", [None]),
        ("Entrypoint", {"a": 1}),
        ("Volumes", ["/data"]),
        ("ExposedPorts", "80"),
        ("Labels", {"a": 1}),
        ("Labels", ["a=1"]),
    ],
)
def test_wrong_types(field: str, value: Any) -> None:
    with pytest.raises(DataError) as caught:
        parsed({field: value})
    assert caught.value.message == f"image config abc is damaged - its {field} is of the wrong type"


@pytest.mark.parametrize(
    "config",
    [
        None,
        {},
        {"User": None, "Env": None, "Labels": None},
        {"Cmd": "true", "Entrypoint": ["sh", "-c"], "Labels": {"a": "b"}, "Volumes": {"/data": {}}, "New": 1},
    ],
)
def test_right_types(config: Any) -> None:
    assert parsed(config)["config"] == config


def test_a_config_damaged_on_the_disk_hides_no_other_image_and_can_be_removed(tmp_path: Path) -> None:
    names = ("docker.io/library/good:1", "docker.io/library/bad:1")

    async def make(store: Overlay) -> str:
        for name in names:
            made = await store.import_(stream(tar([file("f", name.encode())])), reference=name)
        return made.id

    bad = run_in(tmp_path, make)
    (path,) = state_of(tmp_path).rglob(bad.removeprefix("sha256:"))
    path.write_bytes(b"#" * path.stat().st_size)

    async def look(store: Overlay) -> None:
        assert {image.references for image in await store.list()} == {(name,) for name in names}
        error = await refused(store.prepare(bad, "c1"))
        assert error.message == f"blob {bad} is damaged on disk - its bytes have another digest"
        for name in names:
            await store.remove(name)

    run_in(tmp_path, look)
    assert leftovers(tmp_path) == []
