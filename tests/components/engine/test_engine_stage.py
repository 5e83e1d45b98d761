"""What is bound is what was looked at, whoever swaps names in between; and nothing of it stays."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_house import House, house, run

from moby_components.common import mounts
from moby_components.engine.moby.rendering.mounts import MountPlan
from moby_components.engine.moby.volumes import sources, stage
from moby_components.engine.moby.volumes.spread import settled
from moby_components.engine.moby.volumes.stage import Stage
from moby_py.errors import Conflict, InvalidArgument

pytestmark = pytest.mark.root


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    stage.withdraw(tmp_path / "stage")
    mounts.umount_all(tmp_path)


def opened(path: Path) -> int:
    return os.open(path, os.O_PATH | os.O_CLOEXEC)


def refused(error: type[Exception], text: str) -> Any:
    return pytest.raises(error, match=f"^{re.escape(text)}$")


def test_a_source_swapped_after_the_look(place: Path) -> None:
    (place / "src").mkdir()
    (place / "src/f").write_text("looked at")
    (place / "secret").mkdir()
    descriptor = opened(place / "src")
    (place / "src").rename(place / "moved")
    (place / "src").symlink_to(place / "secret")
    shown = Stage(place / "stage").bind(descriptor)
    os.close(descriptor)
    assert (shown / "f").read_text() == "looked at"


def test_files_folders_and_withdrawal(place: Path) -> None:
    (place / "f").write_text("file")
    (place / "d").mkdir()
    made = Stage(place / "stage")
    shown = []
    for name in ("f", "d"):
        descriptor = opened(place / name)
        shown.append(made.bind(descriptor))
        os.close(descriptor)
    assert shown[0].read_text() == "file"
    assert shown[1].is_dir()
    for _ in range(2):
        stage.withdraw(place / "stage")
    assert not (place / "stage").exists()
    assert mounts.mounted_under(place) == []
    assert (place / "f").read_text() == "file"


def test_withdrawing_unmounts_nothing_of_the_source(place: Path) -> None:
    """Not even after a kill between the bind and its being made a slave."""
    source = place / "src"
    (source).mkdir()
    mounts.mount("tmpfs", "x", source)
    mounts.spread(source, "rshared")
    (source / "inner").mkdir()
    mounts.mount("tmpfs", "y", source / "inner")
    folder = place / "stage"
    descriptor = opened(source)
    Stage(folder).bind(descriptor, slave=True)
    os.close(descriptor)
    (folder / "1").mkdir()
    mounts.mount("bind", str(source), folder / "1", ("rbind", "rshared"))
    stage.withdraw(folder)
    assert (source / "inner").is_mount()
    assert len(mounts.mounted_under(place)) == 2


def test_all_of_a_tree_read_only(place: Path) -> None:
    source = place / "src"
    source.mkdir()
    mounts.mount("tmpfs", "x", source)
    (source / "inner").mkdir()
    mounts.mount("tmpfs", "y", source / "inner")
    descriptor = opened(source)
    shown = Stage(place / "stage").bind(descriptor, deep="must")
    os.close(descriptor)
    for folder in (shown, shown / "inner"):
        with pytest.raises(OSError, match="Read-only"):
            (folder / "f").touch()
    (source / "inner/f").touch()


def test_a_subpath_never_leaves_its_volume(place: Path) -> None:
    volume, outside = place / "volume", place / "outside"
    (volume / "a/b").mkdir(parents=True)
    outside.mkdir()
    (volume / "abs").symlink_to(outside)
    (volume / "up").symlink_to("../outside")
    (volume / "in").symlink_to("/a/b")
    assert sources.below(volume, "in") == str(volume / "a/b")
    for path in ("abs", "up", "a/../../outside"):
        with refused(InvalidArgument, f"cannot access path {path} in the volume - no such file or directory"):
            sources.below(volume, path)


def test_a_swapped_subpath_is_contained_in_a_race(place: Path) -> None:
    """A container changes a folder into a link and back as fast as it can; many starts look and bind."""
    import threading

    volume, outside = place / "volume", place / "outside"
    (volume / "part").mkdir(parents=True)
    (volume / "part/mine").touch()
    outside.mkdir()
    (outside / "secret").touch()
    (volume / "link").symlink_to(outside)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            os.rename(volume / "part", volume / "away")
            os.rename(volume / "link", volume / "part")
            os.rename(volume / "part", volume / "link")
            os.rename(volume / "away", volume / "part")

    racer = threading.Thread(target=swap)
    racer.start()
    bound = 0
    plan = MountPlan(type="volume", target="/x", source="v", subpath="part")
    try:
        for _ in range(300):
            try:
                shown = sources._part(volume, plan, Stage(place / "stage"))
            except InvalidArgument:
                pass  # it was a link, or away
            else:
                bound += 1
                assert [path.name for path in shown.iterdir()] == ["mine"]
            stage.withdraw(place / "stage")
    finally:
        stop.set()
        racer.join()
    assert bound


def test_binds_of_the_platforms_own_folders() -> None:
    root = Path("/var/lib/moby-py/shop")
    plan = MountPlan(type="bind", target="/x", source="/", propagation="rprivate", usual=True)
    assert settled(plan, (root,)).propagation == "rslave"
    inside = MountPlan(type="bind", target="/x", source=f"{root}/volume", propagation="rprivate", usual=True)
    assert settled(inside, (root,)).propagation == "rslave"
    beside = MountPlan(type="bind", target="/x", source=f"{root}-2", propagation="rprivate", usual=True)
    assert settled(beside, (root,)) == beside
    asked = MountPlan(type="bind", target="/x", source="/var", propagation="private")
    with refused(
        InvalidArgument,
        'invalid mount config: must use either propagation mode "rslave" or "rshared" when mount source is '
        f'within the daemon root, daemon root: "{root}", bind mount source: "/var", propagation: "private"',
    ):
        settled(asked, (root,))


def test_nothing_is_staged_after_a_start_or_a_failure(tmp_path: Path) -> None:
    async def work(home: House) -> None:
        (tmp_path / "src").mkdir()
        id = await home.launch("sleep", "60", host={"Binds": [f"{tmp_path}/src:/data"]})
        assert list((home.run / "stage").iterdir()) == []
        await home.engine.remove(id, force=True)
        gone = tmp_path / "zzz"
        gone.mkdir()
        binds = [{"Type": "bind", "Source": str(gone), "Target": "/z/z/z"}]
        id = await home.create("true", host={"Binds": [f"{tmp_path}/src:/data"], "Mounts": binds})
        gone.rmdir()
        with pytest.raises(InvalidArgument, match="bind source path does not exist"):
            await home.engine.start(id)
        assert list((home.run / "stage").iterdir()) == []

    async def outer() -> None:
        async with house(tmp_path) as home:
            await work(home)

    run(outer)


def test_a_killed_start_is_swept(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.create("true", host={"Binds": [f"{tmp_path}/src:/data"]})
            descriptor = opened(tmp_path)
            Stage(home.run / "stage" / id).bind(descriptor)
            Stage(home.run / "stage" / ("f" * 64)).bind(descriptor)
            os.close(descriptor)
            home.engine._core.get(id).record.starting = True
            home.engine._core.save(home.engine._core.get(id))
            await home.crash()
            home.engine = await home.reopened()
            assert list((home.run / "stage").iterdir()) == []

    run(work)


def test_a_volume_that_is_being_filled_is_nobody_elses(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            await home.engine.volume_create("data")
            gate, begun = asyncio.Event(), asyncio.Event()

            async def slowly() -> Any:
                begun.set()
                await gate.wait()
                yield b""

            task = asyncio.ensure_future(home.engine.volume_import("data", slowly()))
            await begun.wait()
            with refused(Conflict, "remove data: volume is in use - [import]"):
                await home.engine.volume_remove("data")
            with refused(Conflict, "import data: volume is in use - [import]"):
                await home.engine.volume_import("data", slowly())
            id = await home.create("true", host={"Binds": ["data:/d"]})
            with refused(Conflict, "volume data is in use - import is under way"):
                await home.engine.start(id)
            gate.set()
            await task
            await home.engine.start(id)
            assert await home.engine.wait(id) == (0, "")

    run(work)


def test_a_client_that_leaves_an_import_or_export(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            made = await home.engine.volume_create("data")
            (Path(made.mountpoint) / "big").write_bytes(os.urandom(20 << 20))
            stream = await home.engine.volume_export("data")
            await anext(stream)
            await stream.aclose()  # type: ignore[attr-defined]

            async def forever() -> Any:
                yield await anext(whole)
                await asyncio.Event().wait()

            whole = aiter(await home.engine.volume_export("data"))
            task = asyncio.ensure_future(home.engine.volume_import("copy", forever()))
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await whole.aclose()  # type: ignore[attr-defined]
            assert [v.name for v in await home.engine.volumes()] == ["data"]
            root = Path(made.mountpoint).parents[1]
            assert [path.name for path in root.iterdir()] == ["data"]
            await home.engine.volume_remove("data")

    run(work)


def test_a_filling_cut_short_before_its_row_is_undone(tmp_path: Path) -> None:
    """The last moment: the driver has all of it, and the engine dies before it writes that down."""

    async def work() -> None:
        async with house(tmp_path) as home:
            await home.engine.volume_create("data")
            core = home.engine._core

            def killed(_: Any) -> None:
                raise KeyboardInterrupt

            core.db.add_volume = killed  # type: ignore[method-assign]
            home.engine._volumes.unmake = lambda _: asyncio.sleep(0)  # type: ignore[method-assign, assignment]
            home.engine._volumes.journal.end = lambda _: None  # type: ignore[method-assign]
            with pytest.raises(KeyboardInterrupt):
                await home.engine.volume_clone("data", "twin")
            root = tmp_path / "state/volume/local"
            assert sorted(path.name for path in root.iterdir()) == ["data", "twin"]
            await home.crash()
            home.engine = await home.reopened()
            assert sorted(path.name for path in root.iterdir()) == ["data"]
            assert [v.name for v in await home.engine.volumes()] == ["data"]
            assert list((tmp_path / "state/engine/moby/filling").iterdir()) == []

    run(work)
