"""Killed in the middle, started again: nothing half-done stays, nothing whole is lost."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.image_store.rooms import leftovers, opened, refused, run_in, state_of, stream
from moby_components.image_store.overlay.content.index import Index
from moby_components.image_store.overlay.store import Overlay
from moby_py.errors import Unavailable
from support.images import Layout
from support.layers import file, tar

WORK = """
import asyncio, sys
from pathlib import Path
from components.image_store.rooms import opened, stream, collected
async def main(root, data):
    async with opened(root) as store:
        print("open", flush=True)
        n = 0
        while True:
            n += 1
            (image,) = await store.load(stream(data))
            print("loaded", flush=True)
            await store.prepare(image.id, f"c{n}")
            await store.tag(image.id, f"docker.io/test/x:{n}")
            made = await store.commit(f"c{n}", image=image.id, reference=f"docker.io/test/made:{n}")
            await store.release(f"c{n}")
            await store.remove(made.id, force=True)
            await store.remove(image.id, force=True)
asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]).read_bytes()))
"""


def big_archive(room: Path) -> Path:
    """Two layers that are unpacked by workers (beyond 4 MiB) and one by a thread."""
    layout = Layout(room / "oci")
    noise = random.Random(7)
    layers = [
        tar([file(f"l{layer}/f{n}", noise.randbytes(20_000)) for n in range(count)])
        for layer, count in ((0, 300), (1, 5), (2, 300))
    ]
    layout.image(layers, tag="docker.io/test/x:0")
    path = room / "a.tar"
    subprocess.run(["tar", "-C", str(layout.path), "-cf", str(path), "."], check=True)
    return path


def children_of(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def gone(pids: list[int], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while any(Path(f"/proc/{pid}").exists() and b"worker" in _cmdline(pid) for pid in pids):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def _cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_sigkill_at_any_moment(tmp_path: Path) -> None:
    archive, root = big_archive(tmp_path), tmp_path / "store"
    noise = random.Random(11)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    workers: list[int] = []
    for _ in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", WORK, str(root), str(archive)], stdout=subprocess.PIPE, env=environ
        )
        assert process.stdout
        try:
            assert process.stdout.readline() == b"open\n"
            time.sleep(noise.uniform(0.0, 0.9))
            workers += children_of(process.pid)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stdout.close()

        async def whole(store: Overlay) -> None:
            """What is there is whole: every image can be saved and prepared."""
            state = state_of(root)
            assert list((state / "tmp").iterdir()) == list((state / "trash").iterdir()) == []
            for image in await store.list():
                async for _ in store.save([image.id]):
                    pass
                await store.prepare(image.id, "check")
                await store.release("check")
            await store.collect(containers=[])
            for image in await store.list():
                await store.remove(image.id, force=True)
            await store.collect(containers=[])

        run_in(root, whole)
        assert leftovers(root) == []
    assert gone(workers), "a worker outlived its daemon"


def test_half_done_things_are_swept_at_open(tmp_path: Path) -> None:
    async def first(store: Overlay) -> str:
        image = await store.import_(stream(tar([file("a", b"1")])), reference="docker.io/test/kept:1")
        await store.prepare(image.id, "kept")
        return image.id

    kept = run_in(tmp_path, first)
    state = state_of(tmp_path)
    before = sorted(p.relative_to(state) for p in state.rglob("*"))
    for path in ("tmp/layer-1/etc", "l/zz/usr", "containers/stranger/upper/a", "trash/x/y"):
        (state / path).mkdir(parents=True)
        (state / path / "file").write_bytes(b"rubbish")
    (state / "tmp/blob-1.partial").write_bytes(b"half")
    (state / "blobs/sha256" / ("0" * 64)).write_bytes(b"nobody's")

    async def second(store: Overlay) -> None:
        assert sorted(p.relative_to(state) for p in state.rglob("*") if "index.db-" not in p.name) == [
            p for p in before if "index.db-" not in p.name
        ]
        assert (await store.inspect("docker.io/test/kept:1")).id == kept

    run_in(tmp_path, second)


def test_what_the_disk_may_not_have_is_forgotten_after_a_power_failure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Until syncfs said so, an image counts for the boot that it was written in only."""

    async def first(store: Overlay) -> None:
        await store.import_(stream(tar([file("a", b"1")])), reference="docker.io/test/new:1")
        old = await store.import_(stream(tar([file("a", b"2")])), reference="docker.io/test/old:1")
        store._stock.index.settle([old.id])

    run_in(tmp_path, first)
    index = Index(state_of(tmp_path) / "index.db")
    index._db.execute("UPDATE images SET boot = 'another' WHERE boot != ''")
    index.close()

    async def second(store: Overlay) -> None:
        (image,) = await store.list()
        assert image.references == ("docker.io/test/old:1",)

    run_in(tmp_path, second)
    assert "was written just before the machine went down" in caplog.text


def test_an_image_is_settled_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moby_components.image_store.overlay.store._SETTLE", 0.01)

    async def work(store: Overlay) -> None:
        await store.import_(stream(tar([file("a", b"1")])), reference="docker.io/test/new:1")
        assert store._settling
        await asyncio.wait_for(asyncio.shield(store._settling), 30)
        assert [image.boot for image in store._stock.index.images()] == [""]

    run_in(tmp_path, work)


def test_one_daemon_at_a_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as store:
            await store.open()
            second = Overlay(store.context)
            error = await refused(second.open())
            assert isinstance(error, Unavailable)
            assert error.message == (
                f"the image store {state_of(tmp_path)} is in use - another daemon has it open"
            )
            await second.close()
        async with opened(tmp_path):
            pass

    asyncio.run(main())


def test_collect_beside_pulls_and_loads(tmp_path: Path) -> None:
    """Garbage collection as often as it can be while images come and go: nobody misses anything."""
    archive = big_archive(tmp_path).read_bytes()
    small = [tar([file("f", b"%d" % n)]) for n in range(8)]

    async def main() -> None:
        async with opened(tmp_path / "store") as store:
            stop = asyncio.Event()

            async def collector() -> int:
                rounds = 0
                while not stop.is_set():
                    await store.collect(containers=["keep"])
                    rounds += 1
                    await asyncio.sleep(0)
                return rounds

            async def comes_and_goes(data: bytes) -> None:
                for _ in range(4):
                    image = await store.import_(stream(data))
                    await store.inspect(image.id)
                    await store.remove(image.id)

            collecting = asyncio.create_task(collector())
            (image,), *_ = await asyncio.gather(
                store.load(stream(archive)), *(comes_and_goes(data) for data in small)
            )
            await store.prepare(image.id, "keep")
            await store.prepare(image.id, "drop")
            stop.set()
            assert await collecting > 3
            async for _ in store.save([image.id]):
                pass
            report = await store.collect(containers=["keep"])
            assert (report.blobs, report.layers) == (0, 0)
            assert set((await store.usage()).containers) == {"keep"}

    asyncio.run(main())
