"""Volumes: named, anonymous, populated from the image, in use, with options, across containers."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from engine_house import house, run

from moby_components.common.mounts import is_mounted
from moby_components.engine.moby.copyup import populate
from moby_py.errors import AlreadyExists, Conflict, InvalidArgument, NotFound
from moby_py.model import Mount


def refused(error: type[Exception], text: str) -> Any:
    return pytest.raises(error, match=f"^{re.escape(text)}$")


def test_named_volumes_outlive_containers_and_cannot_go_while_used(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.create("true", host={"Binds": ["db:/data:ro"]})
            point = (await home.engine.inspect(id)).mounts[0]
            volume = await home.engine.volume_inspect("db")
            assert (point["Name"], point["Source"], point["RW"]) == ("db", volume.mountpoint, False)
            await home.output(id)
            mount = next(m for m in home.runtime.specs[id].mounts if m.target == "/data")
            assert mount == Mount(
                type="bind", source=volume.mountpoint, target="/data", options=("rbind", "rprivate", "ro")
            )
            with refused(Conflict, f"remove db: volume is in use - [{id}]"):
                await home.engine.volume_remove("db")
            await home.engine.remove(id, volumes=True)
            assert [v.name for v in await home.engine.volumes()] == ["db"]
            await home.engine.volume_remove("db")
            assert not Path(volume.mountpoint).parent.exists()
            with refused(NotFound, "get db: no such volume"):
                await home.engine.volume_remove("db")
            await home.engine.volume_remove("db", force=True)

    run(work)


def test_anonymous_volumes_go_with_rm_v_alone(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            kept, gone = [await home.create("true", Volumes={"/anon": {}}) for _ in range(2)]
            await home.engine.remove(kept)
            assert len(await home.engine.volumes()) == 2
            await home.engine.remove(gone, volumes=True)
            (volume,) = await home.engine.volumes()
            assert volume.anonymous
            assert "com.docker.volume.anonymous" in volume.labels

    run(work)


def test_volumes_from(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            donor = await home.create("true", host={"Binds": ["db:/data"]}, Volumes={"/anon": {}})
            id = await home.create("true", host={"VolumesFrom": [f"{donor[:12]}:ro"]})
            theirs = {m["Destination"]: m["Name"] for m in (await home.engine.inspect(donor)).mounts}
            ours = (await home.engine.inspect(id)).mounts
            assert {m["Destination"]: m["Name"] for m in ours} == theirs
            assert not any(m["RW"] for m in ours)
            await home.engine.remove(donor, volumes=True)
            assert len(await home.engine.volumes()) == 2  # the other one still uses them
            with refused(NotFound, "No such container: nobody"):
                await home.create("true", host={"VolumesFrom": ["nobody"]})

    run(work)


@pytest.mark.root
def test_a_new_volume_gets_what_the_image_has(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            os.chown(home.root / "base/data", 33, 34)
            id = await home.create("true", host={"Binds": ["aa:/data", "bb:/data2", "cc:/etc/copy:nocopy"]})
            await home.output(id)
            folder = Path((await home.engine.volume_inspect("aa")).mountpoint)
            assert (folder / "seed").read_text() == "from the image"
            (folder / "seed").write_text("mine")
            await home.engine.start(id)
            await home.engine.wait(id)
            assert (folder / "seed").read_text() == "mine"
            assert list(Path((await home.engine.volume_inspect("cc")).mountpoint).iterdir()) == []

    run(work)


@pytest.mark.root
def test_copy_keeps_everything_and_follows_nothing(tmp_path: Path) -> None:
    root, volume = tmp_path / "root", tmp_path / "volume"
    inside = root / "data"
    (inside / "sub").mkdir(parents=True)
    (inside / "f").write_text("x")
    (inside / "f").chmod(0o4751)
    os.chown(inside / "f", 100000, 7)
    (inside / "f").chmod(0o4751)
    os.setxattr(inside / "f", "user.k", b"v")
    os.link(inside / "f", inside / "sub/same")
    (inside / "link").symlink_to("/etc/shadow")
    os.mkfifo(inside / "pipe")
    os.utime(inside / "sub", (1, 2))
    os.chown(inside, 33, 34)
    inside.chmod(0o2770)
    (root / "away").symlink_to("../../outside")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("x")
    volume.mkdir()
    assert not populate(root, "/away", volume)
    assert not populate(root, "/missing", volume)
    assert populate(root, "/data", volume)
    seen = (volume / "f").stat()
    assert (seen.st_uid, seen.st_gid, seen.st_mode & 0o7777) == (100000, 7, 0o4751)
    assert os.getxattr(volume / "f", "user.k") == b"v"
    assert (volume / "sub/same").stat().st_ino == seen.st_ino
    assert os.readlink(volume / "link") == "/etc/shadow"
    assert (volume / "sub").stat().st_mtime == 2
    assert ((volume).stat().st_uid, volume.stat().st_mode & 0o7777) == (33, 0o2770)
    assert (volume / "pipe").is_fifo()
    assert not populate(root, "/data", volume)  # not empty any more


@pytest.mark.root
def test_a_volume_with_a_mount_of_its_own(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
            volume = await home.engine.volume_create("ram", options=options)
            id = await home.launch("sleep", "60", host={"Binds": ["ram:/ram"]})
            other = await home.launch("sleep", "60", host={"Binds": ["ram:/ram"]})
            assert is_mounted(volume.mountpoint)
            await home.engine.remove(id, force=True)
            assert is_mounted(volume.mountpoint)
            await home.engine.remove(other, force=True)
            assert not is_mounted(volume.mountpoint)
            with refused(Conflict, "create ram: conflict: volume already exists with different options"):
                await home.engine.volume_create("ram", options={"type": "tmpfs", "device": "x"})

    run(work)


def test_wrong_volumes(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            with refused(NotFound, 'create xx: error looking up volume plugin nfs: plugin "nfs" not found'):
                await home.engine.volume_create("xx", driver="nfs")
            with refused(InvalidArgument, 'create xx: invalid option: "colour"'):
                await home.engine.volume_create("xx", options={"colour": "red"})
            first = await home.engine.volume_create("xx", labels={"a": "b"})
            assert await home.engine.volume_create("xx") == first
            gone = tmp_path / "missing"
            mounts = [{"Type": "bind", "Source": str(gone), "Target": "/m"}]
            missing = f'invalid mount config for type "bind": bind source path does not exist: {gone}'
            with refused(InvalidArgument, missing):
                await home.create("true", host={"Mounts": mounts})
            gone.mkdir()
            id = await home.create("true", host={"Mounts": mounts})
            gone.rmdir()
            with refused(InvalidArgument, missing):
                await home.engine.start(id)
            id = await home.create("true", host={"Binds": [f"{tmp_path / 'made'}:/m"]})
            await home.output(id)
            assert (tmp_path / "made").is_dir()

    run(work)


def test_an_import_has_a_limit(tmp_path: Path) -> None:
    """What a gzip of zeros would make of 50 KB."""
    import gzip
    import io
    import tarfile

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        info = tarfile.TarInfo("bomb")
        info.size = 20 << 20
        made.addfile(info, io.BytesIO(bytes(info.size)))

    async def archive() -> Any:
        yield gzip.compress(out.getvalue())

    async def work() -> None:
        async with house(tmp_path, options={"volume_import_size": 10 << 20}) as home:
            with refused(
                InvalidArgument,
                f"import data: cannot unpack the archive - it holds more than {10 << 20} bytes",
            ) as caught:
                await home.engine.volume_import("data", archive())
            assert caught.value.hint == (
                "raise the engine's option volume_import_size if this archive is meant"
            )
            assert await home.engine.volumes() == []

    run(work)


def test_drivers_by_their_words(tmp_path: Path) -> None:
    """ "local" is what clients say: without a component of that id it means the first."""

    async def work() -> None:
        async with house(tmp_path) as home:
            drivers = home.wiring.by_kind["volume"]
            drivers["shelf"] = drivers.pop("local")
            for word in ("", "local", "shelf"):
                made = await home.engine.volume_create(f"data{word}", driver=word)
                assert made.driver == "shelf"
            home.engine = await home.reopened()
            drivers["other"] = drivers.pop("shelf")
            shown = await home.engine.volume_inspect("data")
            with refused(
                NotFound, 'remove data: error looking up volume plugin shelf: plugin "shelf" not found'
            ):
                await home.engine.volume_remove("data")
            assert await home.engine.volume_usage("data") == -1
            await home.engine.volume_remove("data", force=True)
            assert (shown.name, shown.driver) == ("data", "shelf")
            with refused(
                Conflict,
                "create datashelf: driver 'shelf' already has volume 'datashelf': volume name must be unique",
            ):
                await home.engine.volume_create("datashelf", driver="other")

    run(work)


def test_a_failed_create_leaves_no_volumes(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            await home.create("true", name="taken")
            with pytest.raises(AlreadyExists):
                await home.create("true", name="taken", host={"Binds": ["fresh:/d"]}, Volumes={"/anon": {}})
            with refused(
                InvalidArgument, 'create cc: error looking up volume plugin nope: plugin "nope" not found'
            ):
                await home.create("true", host={"Binds": ["fresh:/d", "cc:/c"], "VolumeDriver": "nope"})
            assert await home.engine.volumes() == []
            assert list((tmp_path / "state/volume/local").iterdir()) == []

    run(work)
