"""volume/local from the inside: options, mounts, what is left of kills, what is never deleted."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moby_components.common import mounts
from moby_components.volume.local import mounting
from moby_components.volume.local.component import Local
from moby_components.volume.local.options import size_of
from moby_py.errors import Conflict, InvalidArgument, RuntimeFailed
from moby_py.model import Volume
from moby_py.testing.room import make_context


def refused(error: type[Exception], text: str) -> Any:
    return pytest.raises(error, match=f"^{re.escape(text)}$")


def volume(name: str, **options: str) -> Volume:
    return Volume(name=name, driver="local", mountpoint="", created="", options=options)


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    component = Local(make_context(Local, tmp_path))
    asyncio.run(component.open())
    yield component
    asyncio.run(component.close())
    mounts.umount_all(tmp_path)


def again(local: Local) -> Local:
    component = Local(local.context)
    asyncio.run(component.open())
    return component


WRONG = [
    ({"colour": "red"}, 'invalid option: "colour"'),
    ({"device": "/x"}, 'missing required option: "type"'),
    ({"type": "nfs"}, 'missing required option: "device"'),
    ({"o": "ro"}, 'missing required option: "device"'),
    ({"size": "1g"}, "quota size requested but no quota support"),
    ({"size": "1 potato"}, "invalid size: '1 potato'"),
    (
        {"type": "cifs", "device": "//server:445/share"},
        "port not allowed in CIFS device URL, include 'port' in 'o='",
    ),
]


@pytest.mark.parametrize(("options", "text"), WRONG)
def test_wrong_options(local: Local, options: dict[str, str], text: str) -> None:
    with refused(InvalidArgument, text):
        local.check("data", options)


def test_names(local: Local) -> None:
    characters = (
        '"{}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are '
        "allowed. If you intended to pass a host directory, use absolute path"
    )
    for name, shown in (
        ("../x", "../x"),
        ("a/b", "a/b"),
        ("a\0b", "a\\x00b"),
        ("-a", "-a"),
        ("a\nb", "a\\nb"),
        ("", ""),
    ):
        with refused(InvalidArgument, characters.format(shown)):
            local.check(name, {})
    with refused(
        InvalidArgument, "volume name is too short, names should be at least two alphanumeric characters"
    ):
        local.check("a", {})
    long = "a" * 300
    path = local.context.dirs.state / long
    with refused(
        InvalidArgument, f"error while creating volume root path '{path}': mkdir {path}: file name too long"
    ):
        local.check(long, {})
    local.check("a" * 255, {})


def test_sizes() -> None:
    assert [size_of(text) for text in ("10", "1k", "2Mb", "1.5 GiB")] == [10, 1024, 2 << 20, 3 << 29]


def test_addresses_of_servers_are_looked_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The kernel knows no names; a password is in no message."""
    asked: list[tuple[Any, ...]] = []

    def mount(*arguments: Any) -> None:
        asked.append(arguments)
        raise OSError(110, "Connection timed out")

    monkeypatch.setattr(mounts, "mount", mount)
    given = {"type": "nfs", "o": "addr=localhost,rw,nfsvers=4", "device": ":/srv"}
    with refused(
        RuntimeFailed,
        f"failed to mount local volume: mount :/srv:{tmp_path}, data: addr=127.0.0.1,rw,nfsvers=4: "
        "connection timed out",
    ):
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("127.0.0.1", 0))])
        mounting.mount(given, tmp_path)
    assert asked[0][:2] == ("nfs", ":/srv")
    given = {"type": "cifs", "o": "username=u,password=s3cret", "device": "//10.0.0.7/share"}
    with pytest.raises(RuntimeFailed) as caught:
        mounting.mount(given, tmp_path)
    assert "s3cret" not in str(caught.value)
    assert "password=********" in str(caught.value)
    assert asked[1][3] == ["username=u", "password=s3cret"]


def test_an_unknown_server(tmp_path: Path) -> None:
    given = {"type": "nfs", "o": "addr=no-such-host.invalid", "device": ":/srv"}
    with pytest.raises(
        RuntimeFailed, match=r"^error resolving passed in network volume address: lookup no-such"
    ):
        mounting.mount(given, tmp_path)


@pytest.mark.root
def test_a_mount_that_fails_leaves_none(local: Local) -> None:
    bad = volume("bad", type="tmpfs", device="tmpfs", o="size=nonsense")
    asyncio.run(local.create(bad))
    with pytest.raises(RuntimeFailed, match=r"^failed to mount local volume: mount tmpfs:"):
        asyncio.run(local.mount(bad, "c1"))
    assert mounts.mounted_under(local.context.dirs.state) == []


@pytest.mark.root
def test_an_overlay_as_a_volume(local: Local, tmp_path: Path) -> None:
    for name in ("lower", "upper", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower/f").write_text("below")
    words = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    layered = volume("layered", type="overlay", device="overlay", o=words)
    asyncio.run(local.create(layered))
    folder = asyncio.run(local.mount(layered, "c1"))
    (folder / "g").write_text("above")
    assert (tmp_path / "upper/g").read_text() == (folder / "g").read_text()
    assert (folder / "f").read_text() == "below"
    asyncio.run(local.unmount(layered, "c1"))
    assert not folder.is_mount()


@pytest.mark.root
def test_a_removal_never_reaches_what_is_mounted(local: Local, tmp_path: Path) -> None:
    """Neither a volume's own bind nor what somebody else has mounted below its folder."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "f").write_text("x")
    bound = volume("bound", type="none", o="bind", device=str(precious))
    asyncio.run(local.create(bound))
    asyncio.run(local.mount(bound, "c1"))
    with refused(Conflict, "volume is in use"):
        asyncio.run(local.remove(bound))
    fresh = again(local)  # knows no users: after a crash without a recovery
    asyncio.run(fresh.remove(bound))
    assert (precious / "f").read_text() == "x"
    other = volume("other")
    asyncio.run(local.create(other))
    folder = Path(local.mountpoint(other)) / "deep"
    folder.mkdir()
    mounts.mount("bind", str(precious), folder)
    asyncio.run(local.remove(other))
    assert (precious / "f").read_text() == "x"


@pytest.mark.root
def test_recovery(local: Local, tmp_path: Path) -> None:
    root = local.context.dirs.state
    ram, idle = (volume(name, type="tmpfs", device="tmpfs") for name in ("ram", "idle"))
    data = volume("data")
    for one in (ram, idle, data):
        asyncio.run(local.create(one))
    for one in (ram, idle):
        asyncio.run(local.mount(one, "c1"))
    (root / "data/_data/f").write_text("x")
    (root / ".going-dead/_data/sub").mkdir(parents=True)
    (root / "half").mkdir()  # a killed create
    (root / "stranger/_data").mkdir(parents=True)
    (root / "stranger/_data/f").write_text("a database was lost, not this")

    async def recover() -> Local:
        component = Local(local.context)
        await component.open()
        await component.recover({"ram": ["c1"]}, [ram, idle, data])
        while component._sweeping is not None and not component._sweeping.done():
            await asyncio.sleep(0.01)
        return component

    fresh = asyncio.run(recover())
    assert sorted(path.name for path in root.iterdir()) == ["data", "idle", "ram", "stranger"]
    assert [Path(path).parent.name for path in mounts.mounted_under(root)] == ["ram"]
    assert (root / "stranger/_data/f").exists()
    asyncio.run(fresh.unmount(ram, "c1"))
    assert mounts.mounted_under(root) == []


def test_volumes_of_older_platforms_are_taken_over(tmp_path: Path) -> None:
    older = tmp_path / "state/engine/moby/volumes"
    (older / "db/_data").mkdir(parents=True)
    (older / "db/_data/f").write_text("kept")
    component = Local(make_context(Local, tmp_path))
    asyncio.run(component.open())
    folder = asyncio.run(component.mount(volume("db"), "c1"))
    assert (folder / "f").read_text() == "kept"
    assert not older.exists()


def test_usage(local: Local) -> None:
    data = volume("data")
    asyncio.run(local.create(data))
    folder = Path(local.mountpoint(data))
    (folder / "f").write_bytes(b"x" * 1000)
    (folder / "same").hardlink_to(folder / "f")
    (folder / "link").symlink_to("/etc")
    assert asyncio.run(local.usage(data)) == 1000
    assert asyncio.run(local.usage(volume("nfs", type="nfs", device=":/x"))) == -1


def test_memory_cannot_be_filled(local: Local) -> None:
    async def work(folder: Path) -> None:
        (folder / "f").touch()

    ram = volume("ram", type="tmpfs", device="tmpfs")
    with refused(InvalidArgument, "its data is in memory and gone when nobody uses it"):
        asyncio.run(local.fill(ram, work))
