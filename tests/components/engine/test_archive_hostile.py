"""Hostile archives and hostile roots: whatever they hold, nothing outside of a container is touched."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import os
import re
import shutil
import stat
import tarfile
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from engine_doubles import HostRuntime
from engine_house import House, house, run

from moby_py.errors import Conflict, InvalidArgument, MobyError, NotFound, PermissionDenied, Unsupported

pytestmark = pytest.mark.root


def tar(*entries: tuple[str, bytes, dict[str, Any]], form: int = tarfile.PAX_FORMAT) -> bytes:
    """Entries as (name, type, fields); `data` among the fields is the content."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, kind, fields in entries:
            info = tarfile.TarInfo(name)
            info.type = kind
            data = fields.pop("data", b"")
            for key, value in fields.items():
                setattr(info, key, value)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


FILE, LINK, HARD, FOLDER = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE


async def pieces(data: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        await asyncio.sleep(0)
        yield data[at : at + size]


async def put(home: House, ref: str, path: str, data: bytes, **how: Any) -> None:
    await home.engine.archive_put(ref, path, pieces(data), **how)


async def get(home: House, ref: str, path: str) -> tarfile.TarFile:
    _, data = await home.engine.archive_get(ref, path)
    return tarfile.open(fileobj=io.BytesIO(b"".join([piece async for piece in data])))


def outside(home: House) -> Path:
    """A folder of the host's, known to the test by its absolute name."""
    place = home.root / "host"
    place.mkdir()
    (place / "secret").write_text("of the host")
    return place


def untouched(place: Path) -> None:
    assert [path.name for path in place.iterdir()] == ["secret"]
    assert (place / "secret").read_text() == "of the host"
    assert (place / "secret").stat().st_nlink == 1


def up(place: Path) -> str:
    return "../" * 30 + str(place).lstrip("/")


@pytest.mark.parametrize("state", ["created", "running"])
def test_names_and_links_that_point_out(tmp_path: Path, state: str) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            host = outside(home)
            id = await home.create("sleep", "20", name="box")
            if state == "running":
                await home.engine.start(id)
            file = {"data": b"evil"}
            cases: list[tuple[bytes, str]] = [
                (tar((up(host) + "/new", FILE, dict(file))), "points out of the archive"),
                (tar(("a/../../../new", FILE, dict(file))), "points out of the archive"),
                (tar(("hard", HARD, {"linkname": up(host) + "/secret"})), "points out of the archive"),
                (tar(("hard", HARD, {"linkname": f"{host}/secret"})), "missing"),
                (tar(("l", LINK, {"linkname": ""})), "symbolic link to nothing"),
                (tar(("x\0y", FILE, dict(file)))[:512] + b"\0" * 512 + b"junk" * 200, ""),
                (b"no tar at all" * 100, "not a tar archive"),
                (tar(("cut", FILE, {"data": b"x" * 5000}))[:3000], "ends in the middle"),
                (gzip.compress(tar(("cut", FILE, {"data": os.urandom(5000)})))[:3000], "gzip"),
            ]
            for data, text in cases:
                if text:
                    with pytest.raises(InvalidArgument, match=re.escape(text)):
                        await put(home, id, "/data", data)
                untouched(host)
            # A link of the archive's own is followed in the container, where there is no such folder.
            await put(home, id, "/data", tar(("l", LINK, {"linkname": str(host)})))
            with pytest.raises(MobyError):
                await put(home, id, "/data", tar(("l/new", FILE, dict(file))))
            await put(home, id, "/data", tar(("e", LINK, {"linkname": "/etc"}), ("e/new", FILE, dict(file))))
            assert (await home.engine.archive_stat(id, "/etc/new")).size == 4
            await put(home, id, "/data", tar(("up", LINK, {"linkname": "../" * 30}), ("up/top", FILE, file)))
            assert (await home.engine.archive_stat(id, "/top")).size == 4
            # An absolute name is meant from the folder.
            await put(home, id, "/data", tar(("/etc/abs", FILE, {"data": b"x"})))
            assert (await home.engine.archive_stat(id, "/data/etc/abs")).size == 1
            untouched(host)

    run(work)


def test_links_of_the_root_that_point_out(tmp_path: Path) -> None:
    """The image holds links to the host; reading and writing through them stays inside."""

    async def work() -> None:
        async with house(tmp_path) as home:
            host = outside(home)
            base = tmp_path / "base"
            (base / "abs").symlink_to(host)
            (base / "rel").symlink_to(up(host))
            (base / "file").symlink_to(host / "secret")
            (base / "loop").symlink_to("loop")
            id = await home.create("sleep", "20")
            for path in ("/abs/secret", "/rel/secret", "/file/", "/abs/."):
                for call in (home.engine.archive_stat, home.engine.archive_get):
                    with pytest.raises(NotFound, match=re.escape(f"Could not find the file {path} in")):
                        await call(id, path)
            with pytest.raises(NotFound):
                await put(home, id, "/abs", tar(("x", FILE, {"data": b"x"})))
            with pytest.raises(InvalidArgument, match="too many"):
                await home.engine.archive_stat(id, "/loop/x")
            assert (await get(home, id, "/file")).getmember("file").linkname == str(host / "secret")
            assert (await home.engine.archive_stat(id, "/file")).link_target == str(host / "secret")
            untouched(host)

    run(work)


def test_a_folder_swapped_all_the_time(tmp_path: Path) -> None:
    """Another writer swaps a folder for a link to the host while files go in, out and are exported."""

    async def work() -> None:
        async with house(tmp_path) as home:
            host = outside(home)
            id = await home.launch("sleep", "60")
            root = home.engine._core.layout.rootfs(id)
            (root / "swap").mkdir()
            done = threading.Event()

            def swap() -> None:
                while not done.is_set():
                    try:
                        (root / "swap").rename(root / "kept")
                        (root / "swap").symlink_to(host)
                        (root / "swap").unlink()
                        (root / "swap").symlink_to(up(host))
                        (root / "swap").unlink()
                        (root / "kept").rename(root / "swap")
                    except OSError:  # the other side made something in between: begin again
                        for name in ("swap", "kept"):
                            with contextlib.suppress(OSError):
                                (root / name).unlink()
                            shutil.rmtree(root / name, ignore_errors=True)
                        with contextlib.suppress(OSError):
                            (root / "swap").mkdir()

            thread = threading.Thread(target=swap)
            thread.start()
            data = tar(
                ("swap", FOLDER, {"mode": 0o700, "uid": 7}),
                ("swap/secret", FILE, {"data": b"evil", "mode": 0o666}),
                ("swap/n", tarfile.FIFOTYPE, {"mode": 0o666}),
            )
            hits = 0
            try:
                for _ in range(150):
                    for work in (put(home, id, "/", data), put(home, id, "/swap", data)):
                        try:
                            await work
                            hits += 1
                        except MobyError:
                            pass
                    try:
                        for member in (found := await get(home, id, "/swap")).getmembers():
                            if member.isfile():
                                content = found.extractfile(member)
                                assert content is not None
                                assert b"of the host" not in content.read()
                    except (MobyError, tarfile.TarError):
                        pass
            finally:
                done.set()
                thread.join()
            assert hits > 0
            untouched(host)
            assert stat.S_IMODE(host.stat().st_mode) != 0o700
            assert host.stat().st_uid != 7

    run(work, limit=60)


def test_kinds_modes_devices_sparse_and_big_numbers(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.create("true")
            await put(
                home,
                id,
                "/data",
                tar(
                    ("null", tarfile.CHRTYPE, {"devmajor": 1, "devminor": 3, "mode": 0o666}),
                    ("pipe", tarfile.FIFOTYPE, {"mode": 0o640}),
                    ("suid", FILE, {"mode": 0o4755, "data": b"x", "uid": 3_000_000, "gid": 65_533}),
                    ("d", FOLDER, {"mode": 0o1777, "mtime": 1000}),
                    ("d/" + "n" * 200, FILE, {"data": b"long"}),
                    ("é\n", FILE, {"data": b"odd"}),
                    (".wh.gone", FILE, {"data": b"no whiteout here"}),
                    ("twin", HARD, {"linkname": "suid"}),
                ),
            )
            found = {m.name: m for m in (await get(home, id, "/data")).getmembers()}
            assert found["data/null"].ischr()
            assert (found["data/null"].devmajor, found["data/null"].devminor) == (1, 3)
            assert found["data/pipe"].isfifo()
            suid = found["data/suid"]
            assert (suid.mode, suid.uid, suid.gid) == (0o4755, 3_000_000, 65_533)
            assert (found["data/d"].mode, found["data/d"].mtime) == (0o1777, 1000)
            assert {"data/d/" + "n" * 200, "data/é\n", "data/.wh.gone", "data/seed"} <= set(found)
            assert found["data/twin"].islnk() != found["data/suid"].islnk() or found["data/twin"].islnk()
            for uid in (2**32 - 1, 2**40):
                with pytest.raises(InvalidArgument, match="out of range"):
                    await put(home, id, "/data", tar(("u", FILE, {"uid": uid})))
            # Eight exabytes that hold nothing.
            sparse = tar(("hole", FILE, {"pax_headers": {
                "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "hole",
                "GNU.sparse.realsize": str(2**45),
            }, "data": b"0\n".ljust(512, b"\0")}))  # fmt: skip
            try:
                await put(home, id, "/data", sparse)
            except MobyError as error:
                assert "too large" in error.message or "archive" in error.message
            assert sum(p.stat().st_blocks for p in tmp_path.rglob("hole")) < 100

    run(work)


def test_overwriting_other_kinds(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.create("true", name="box")
            file, folder = tar(("x", FILE, {"data": b"1"})), tar(("x", FOLDER, {"mode": 0o755}))
            await put(home, id, "/data", folder)
            with pytest.raises(InvalidArgument) as caught:
                await put(home, id, "/data", file, overwrite_dir_with_file=False)
            assert str(caught.value) == 'cannot overwrite directory "/data/x" with non-directory "/data"'
            await put(home, id, "/data", file)
            with pytest.raises(InvalidArgument) as caught:
                await put(home, id, "/data", folder, overwrite_dir_with_file=False)
            assert str(caught.value) == 'cannot overwrite non-directory "/data/x" with directory "/data"'
            await put(home, id, "/data", folder)
            with pytest.raises(InvalidArgument, match=r"^extraction point is not a directory$"):
                await put(home, id, "/etc/passwd", file)
            with pytest.raises(NotFound, match=r"^Could not find the file /no in container box$"):
                await put(home, "box", "/no", file)
            with pytest.raises(NotFound, match=r"^No such container: gone$"):
                await put(home, "gone", "/", file)
            before = (await home.engine.archive_stat(id, "/data")).mode
            await put(home, id, "/data", tar(("./", FOLDER, {"mode": 0o700, "uid": 9})))
            assert (await home.engine.archive_stat(id, "/data")).mode == before

    run(work)


def test_memory_stays_small_and_a_lost_reader_ends_the_work(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.create("true")
            size = 200 << 20
            head = tarfile.TarInfo("big")
            head.size = size

            async def big() -> AsyncIterator[bytes]:
                yield head.tobuf()
                for _ in range(size >> 20):
                    yield bytes(1 << 20)
                yield bytes(1024)

            tracemalloc.start()
            await home.engine.archive_put(id, "/data", big())
            _, data = await home.engine.archive_get(id, "/data/big")
            total = 0
            async for piece in data:
                total += len(piece)
            export = await home.engine.export(id)
            async for piece in export:
                total += len(piece)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert total > 2 * size
            assert peak < 30 << 20
            _, data = await home.engine.archive_get(id, "/data/big")
            await anext(data)
            del data  # nobody closes it
            entry = home.engine._core.get(id)
            async with asyncio.timeout(5):
                await entry.views.idle.wait()

    run(work, limit=60)


def test_a_start_cuts_a_copy_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        from moby_components.engine.moby.archives.views import Views

        settle: Callable[..., Any] = Views.settle
        monkeypatch.setattr(Views, "settle", lambda self: settle(self, 0.3))
        async with house(tmp_path) as home:
            id = await home.create("sleep", "30", name="box")
            await put(home, id, "/data", tar(("big", FILE, {"data": bytes(20 << 20)})))
            _, data = await home.engine.archive_get(id, "/data/big")
            await anext(data)
            await home.engine.start(id)
            with pytest.raises(Conflict) as caught:
                async for _ in data:
                    pass
            assert str(caught.value) == ("container box was started or has ended while its files were copied")
            assert (await home.engine.archive_stat(id, "/data/big")).size == 20 << 20

    run(work)


def test_a_readonly_volume_behind_a_link(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            (tmp_path / "base/way").symlink_to("/vol")
            id = await home.create("true", host={"Binds": ["some:/vol:ro"]})
            with pytest.raises(PermissionDenied, match=r"^mounted volume is marked read-only$"):
                await put(home, id, "/way", tar(("x", FILE, {"data": b"x"})))
            with pytest.raises(PermissionDenied, match="read-only file system"):
                await put(home, id, "/", tar(("way/x", FILE, {"data": b"x"})))

    run(work)


def test_a_runtime_that_keeps_the_root_to_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets mounts and no path: while it runs nobody else may mount them, before and after we may."""
    monkeypatch.setattr(HostRuntime, "rootfs_form", "mounts")

    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.create("sleep", "30", name="box")
            await put(home, id, "/data", tar(("f", FILE, {"data": b"x"})))
            await home.engine.start(id)
            for work in (home.engine.archive_stat, home.engine.archive_get):
                with pytest.raises(Unsupported) as caught:
                    await work(id, "/data/f")
                assert str(caught.value) == (
                    "cannot reach the files of running container box - "
                    "runtime hostproc keeps its root file system to itself"
                )
                assert caught.value.hint == "stop it first, or use: docker exec CONTAINER tar"
            await home.engine.kill(id)
            assert (await home.engine.archive_stat(id, "/data/f")).size == 1

    run(work)
