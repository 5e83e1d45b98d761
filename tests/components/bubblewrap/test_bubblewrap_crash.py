"""The driver is killed with SIGKILL at random moments: what lived lives on, the rest is cleared away."""

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

from components.bubblewrap.room import BWRAP, make_rootfs
from moby_components.runtime.bubblewrap.component import Bubblewrap
from moby_py.testing.room import make_context, room_name
from support.platform import processes

ROUNDS = 6
DRIVER = """
import asyncio, contextlib, os, secrets, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from components.bubblewrap.room import BWRAP, Room
from moby_components.runtime.bubblewrap.component import Bubblewrap
from moby_py.errors import Conflict
from moby_py.testing.room import make_context

async def main():
    base = Path(sys.argv[2])
    runtime = Bubblewrap(make_context(Bubblewrap, base, binaries={"bwrap": BWRAP}))
    await runtime.open()
    room = Room(runtime, base / "rootfs", base, False, False)
    lasting = await room.create(room.spec("sh", "-c", "read x; exit 21"), stdin=True, stdin_once=True)
    await runtime.start(lasting)
    print(lasting, flush=True)

    async def churn():
        while True:
            id = await room.create(room.spec("sh", "-c", "sleep 0.02; exit 3"))
            await runtime.start(id)
            with contextlib.suppress(Conflict):  # on a busy machine it has ended already
                await room.exec(id, "true")
            await runtime.delete(id)

    await asyncio.gather(churn(), churn())

asyncio.run(main())
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_sigkill_at_random_moments(tmp_path: Path) -> None:
    make_rootfs(tmp_path / "rootfs")
    seed = int(time.time())
    moments = random.Random(seed)

    async def after(lasting: str) -> None:
        runtime = Bubblewrap(make_context(Bubblewrap, tmp_path, binaries={"bwrap": BWRAP}))
        await runtime.open()
        states = {state.id: state for state in await runtime.recover()}
        assert states[lasting].status == "running", seed
        streams = await runtime.attach(lasting)
        await streams.write(b"\n")
        assert (await asyncio.wait_for(runtime.wait(lasting), 10)).code == 21
        await streams.close()
        for id, state in states.items():
            if state.status == "created":
                await runtime.start(id)
            await runtime.delete(id)
        await runtime.close()

    for _ in range(ROUNDS):
        argv = [sys.executable, "-c", DRIVER, str(Path(__file__).parents[2]), str(tmp_path)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as driver:
            assert driver.stdout is not None
            lasting = driver.stdout.readline().strip()
            time.sleep(moments.uniform(0, 0.6))
            driver.send_signal(signal.SIGKILL)
        asyncio.run(after(lasting))
        assert os.listdir(tmp_path / "run/runtime/bubblewrap") == [], seed
        deadline = time.monotonic() + 5  # a monitor that had just begun sees for itself that it is alone
        while processes(str(tmp_path)) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert processes(str(tmp_path)) == [], seed
        assert list(Path("/sys/fs/cgroup").glob(f"*/moby-py/{room_name(tmp_path)}/*/")) == [], seed
