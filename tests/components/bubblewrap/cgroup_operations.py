"""Operations that need cgroups, so root."""

from __future__ import annotations

import asyncio
from pathlib import Path

from components.bubblewrap.operations import Operation
from components.bubblewrap.room import Room, everything
from moby_py.model import Resources

TABLE: dict[str, Operation] = {}


def operation(work: Operation) -> Operation:
    TABLE[work.__name__] = work
    return work


@operation
async def memory_limit_kills_and_says_so(r: Room) -> None:
    limits = Resources(memory=24 << 20, memory_swap=24 << 20)
    script = "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done"
    _, status = await r.run(r.spec("sh", "-c", script, resources=limits))
    assert status.code == 137
    assert status.oom_killed


@operation
async def limits_are_in_force(r: Room) -> None:
    limits = Resources(memory=64 << 20, pids_limit=33, nano_cpus=500_000_000, cpu_shares=512, cpuset_cpus="0")
    id = await r.create(r.spec("sleep", "60", resources=limits))
    await r.runtime.start(id)
    stats = await r.runtime.stats(id)
    assert (stats.memory_limit, stats.pids_limit, stats.pids) == (64 << 20, 33, 1)
    assert stats.memory_usage > 0
    assert (await r.exec(id, "nproc"))[0] == "1\n"
    await r.runtime.update(id, Resources(memory=96 << 20, memory_swap=96 << 20, pids_limit=44))
    stats = await r.runtime.stats(id)
    assert (stats.memory_limit, stats.pids_limit) == (96 << 20, 44)


@operation
async def the_process_limit_holds(r: Room) -> None:
    script = "for i in 1 2 3 4 5 6; do sleep 5 & done; wait"
    output, _ = await r.run(r.spec("sh", "-c", script, resources=Resources(pids_limit=3)))
    assert "can't fork" in output


@operation
async def paused_and_resumed(r: Room) -> None:
    id = await r.create(r.spec("sh", "-c", "while :; do echo tick; sleep 0.02; done"))
    streams = await r.runtime.attach(id)
    await r.runtime.start(id)
    assert await streams.read()
    await r.runtime.pause(id)
    assert (await r.runtime.state(id)).status == "paused"
    while True:  # what was written before
        try:
            await asyncio.wait_for(streams.read(), 0.3)
        except TimeoutError:
            break
    await r.runtime.resume(id)
    assert (await r.runtime.state(id)).status == "running"
    assert await asyncio.wait_for(streams.read(), 5)
    await r.runtime.pause(id)
    await r.runtime.kill(id, 9)
    assert (await asyncio.wait_for(r.runtime.wait(id), 10)).code == 137
    await everything(streams)


@operation
async def delete_of_a_paused_one(r: Room) -> None:
    id = await r.create(r.spec("sleep", "60"))
    await r.runtime.start(id)
    await r.runtime.pause(id)
    await asyncio.wait_for(r.runtime.delete(id), 10)
    assert list(Path("/sys/fs/cgroup").glob(f"*/moby-py/test-*/{id}")) == []


@operation
async def privileged_sees_devices_and_writes_sys(r: Room) -> None:
    script = (
        "ls /dev | wc -l; grep -c ' ro,' /proc/mounts; echo 1000 > /proc/sys/net/core/somaxconn && echo w"
    )
    output = await r.output("sh", "-c", script, privileged=True, masked_paths=(), readonly_paths=())
    assert int(output.split()[0]) > 20
    assert output.endswith("w\n")


@operation
async def sysctls(r: Room) -> None:
    from components.bubblewrap.operations import fails
    from moby_py.errors import InvalidArgument

    spec = {"sysctls": {"net.core.somaxconn": "77", "kernel.shmmni": "99"}}
    output = await r.output("cat", "/proc/sys/net/core/somaxconn", "/proc/sys/kernel/shmmni", **spec)
    assert output == "77\n99\n"
    text = await fails(r.create(r.spec("true", sysctls={"vm.swappiness": "1"})), InvalidArgument)
    assert text == "sysctl 'vm.swappiness' is not in a separate kernel namespace"
