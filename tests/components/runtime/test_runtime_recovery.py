"""What a daemon finds when it comes back: it was killed, or its monitor was, or half its work."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from components.runtime.conftest import House, leftovers, output_of
from moby_components.common.monitor import Task, TaskDir
from moby_components.common.ociruntime import OciRuntime
from moby_py.model import ContainerIO, ProcessSpec, Sandbox
from moby_py.testing.room import room_name

pytestmark = pytest.mark.root

DAEMON = """
    import asyncio, json, sys
    from pathlib import Path
    from moby_py.model import ContainerIO, ContainerSpec, ProcessSpec, RootFS, Sandbox
    from moby_py.testing.room import make_context
    from components.runtime.conftest import RUNTIMES, binaries_of

    async def main():
        cls, room, root, log = RUNTIMES[sys.argv[1]], Path(sys.argv[2]), sys.argv[3], sys.argv[4]
        runtime = cls(make_context(cls, room, binaries=binaries_of(cls)))
        await runtime.open()
        for id, args, start in json.loads(sys.argv[5]):
            process = ProcessSpec(args=tuple(args), env=("PATH=/bin",))
            spec = ContainerSpec(id=id, name=id, image="i", image_id="i", process=process)
            io = ContainerIO(log=log + id, stdin=True)
            await runtime.create(spec, RootFS(image="i", path=root), Sandbox(mode="empty"), io)
            if start:
                await runtime.start(id)
        inside = ProcessSpec(args=("sh", "-c", "cat; exit 6"), env=("PATH=/bin",))
        await runtime.exec("living", "beside", inside, ContainerIO(stdin=True, stdin_once=True), attach=False)
        print("ready", flush=True)
        await asyncio.sleep(60)

    asyncio.run(main())
"""


def test_containers_outlive_a_killed_daemon(
    house: Any, runtime_class: type[OciRuntime], tmp_path: Path, root: Path
) -> None:
    wanted = [
        ("living", ["sh", "-c", "echo before; read x; echo $x; exit 7"], True),
        ("ended", ["sh", "-c", "exit 3"], True),
        ("waiting", ["sh", "-c", "echo late; exit 4"], False),
    ]
    argv = [sys.executable, "-c", textwrap.dedent(DAEMON), runtime_class.name, str(tmp_path), str(root)]
    daemon = subprocess.Popen(
        [*argv, str(tmp_path / "log."), json.dumps(wanted)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert daemon.stdout is not None
    try:
        assert daemon.stdout.readline() == b"ready\n"
    finally:
        daemon.kill()
        daemon.wait()
        daemon.stdout.close()

    async def work(h: House) -> None:
        h.ids += ["living", "ended", "waiting"]
        assert (await h.runtime.wait("ended")).code == 3
        states = {state.id: state for state in await h.runtime.recover()}
        assert {id: state.status for id, state in states.items()} == {
            "living": "running",
            "ended": "stopped",
            "waiting": "created",
        }
        ended = states["ended"].exit
        assert ended is not None
        assert ended.code == 3
        beside = await h.runtime.attach("living", "beside")
        await beside.write(b"still fed\n")
        await beside.close_stdin()
        assert await output_of(beside) == (b"still fed\n", b"")
        assert (await h.runtime.wait("living", "beside")).code == 6
        streams = await h.runtime.attach("living")
        await streams.write(b"after\n")
        assert await output_of(streams) == (b"after\n", b"")
        assert (await h.runtime.wait("living")).code == 7
        streams = await h.runtime.attach("waiting")
        await h.runtime.start("waiting")
        assert await output_of(streams) == (b"late\n", b"")
        assert (await h.runtime.wait("waiting")).code == 4
        log = (tmp_path / "log.living").read_text().splitlines()
        assert [line.split(" ", 3)[3] for line in log] == ["before", "after"]

    house(work)


CHURN = """
    import asyncio, secrets, sys
    from pathlib import Path
    from moby_py.model import ContainerIO, ContainerSpec, ProcessSpec, RootFS, Sandbox
    from moby_py.testing.room import make_context
    from components.runtime.conftest import RUNTIMES, binaries_of

    async def main():
        cls, room, root = RUNTIMES[sys.argv[1]], Path(sys.argv[2]), sys.argv[3]
        runtime = cls(make_context(cls, room, binaries=binaries_of(cls)))
        await runtime.open()
        print("ready", flush=True)
        while True:
            id = secrets.token_hex(32)
            print(id, flush=True)
            process = ProcessSpec(args=("sleep", "30"), env=("PATH=/bin",))
            spec = ContainerSpec(id=id, name=id, image="i", image_id="i", process=process)
            await runtime.create(spec, RootFS(image="i", path=root), Sandbox(mode="empty"), ContainerIO())
            await runtime.start(id)
            await runtime.exec(id, "e", process, ContainerIO(), attach=False)
            await runtime.delete(id)

    asyncio.run(main())
"""


def test_nothing_stays_of_a_daemon_killed_at_any_moment(
    house: Any, runtime_class: type[OciRuntime], tmp_path: Path, root: Path
) -> None:
    argv = [sys.executable, "-c", textwrap.dedent(CHURN), runtime_class.name, str(tmp_path), str(root)]
    ids: list[str] = []

    async def work(h: House) -> None:
        for state in await h.runtime.recover():
            assert state.status in ("created", "running", "stopped")
            await h.runtime.delete(state.id)

    for round in range(2 if runtime_class.sandboxed else 5):
        daemon = subprocess.Popen(
            argv,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert daemon.stdout is not None
        try:
            assert daemon.stdout.readline() == "ready\n"
            time.sleep(0.013 + 0.035 * round)
        finally:
            daemon.kill()
            daemon.wait()
            ids.extend(daemon.stdout.read().split())
            daemon.stdout.close()

        house(work)
        assert leftovers(tmp_path / "run/runtime" / runtime_class.name, room_name(tmp_path), ids) == []


def test_a_half_made_container_is_cleared_away(house: Any) -> None:
    """Killed after conmon was started, before the record was written."""

    async def work(h: House) -> None:
        spec = h.spec("sleep", "60")
        await h.runtime.create(spec, h.rootfs, Sandbox(mode="empty"), ContainerIO())
        (h.runtime.run_dir / spec.id / "task.json").unlink()
        await h.runtime.close()
        assert list(await h.runtime.recover()) == []
        assert not (h.runtime.run_dir / spec.id).exists()

    house(work)


def test_a_start_without_its_marker_is_learned(house: Any) -> None:
    async def work(h: House) -> str:
        spec = h.spec("sleep", "60")
        await (await h.up(spec)).close()
        (h.runtime.run_dir / spec.id / "started").unlink()
        await h.runtime.close()
        (state,) = await h.runtime.recover()
        return state.status

    assert house(work) == "running"


def test_the_runtimes_own_leftovers_are_found(house: Any) -> None:
    """The directory is gone, the runtime's state is not."""

    async def work(h: House) -> None:
        spec = h.spec("sleep", "60")
        await (await h.up(spec)).close()
        task = Task.adopt(TaskDir(h.runtime.run_dir / spec.id, spec.id))
        assert task is not None
        await h.runtime.close()
        (h.runtime.run_dir / spec.id).rename(h.runtime.run_dir / ".gone")
        assert list(await h.runtime.recover()) == []
        assert task.process is not None
        assert not task.process.runs()
        TaskDir(h.runtime.run_dir / ".gone", spec.id).discard()

    house(work)


def test_a_killed_monitor_leaves_an_unknown_exit(house: Any) -> None:
    async def work(h: House) -> Any:
        spec = h.spec("sleep", "60")
        streams = await h.up(spec)
        waiting = asyncio.create_task(h.runtime.wait(spec.id))
        await asyncio.sleep(0.05)
        task = Task.adopt(TaskDir(h.runtime.run_dir / spec.id, spec.id))
        assert task is not None
        assert task.monitor is not None
        task.monitor.kill(signal.SIGKILL)
        assert await output_of(streams) == (b"", b"")
        assert not waiting.done()
        await h.runtime.kill(spec.id, signal.SIGKILL)
        status = await waiting
        return status.code, status.error

    assert house(work) == (255, "exit code unknown - its monitor was killed")


def test_a_daemons_exec_ids_do_not_pile_up(house: Any) -> None:
    async def work(h: House) -> list[str]:
        spec = h.spec("sleep", "60")
        await (await h.up(spec)).close()
        for number in range(3):
            process = ProcessSpec(args=("true",), env=("PATH=/bin",))
            await h.runtime.exec(spec.id, f"e{number}", process, ContainerIO(), attach=False)
            assert (await h.runtime.wait(spec.id, f"e{number}")).code == 0
        return [path.name for path in (h.runtime.run_dir / spec.id / "exec").iterdir()]

    assert house(work) == []
