"""Limits that nothing can enforce on this host: the container is made, and whoever asked hears of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from engine_house import house

from moby_components.engine.moby.rendering.discarded import discarded
from moby_py.model import Resources, RuntimeInfo

_MEMORY = (
    "Your kernel does not support memory limit capabilities or the cgroup is not mounted. "
    "Limitation discarded."
)
_PIDS = (
    "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded."
)


async def _here(features: frozenset[str]) -> RuntimeInfo:
    return RuntimeInfo(name="hostproc", version="0", features=features)


def test_create_update_and_info_tell_what_a_host_without_cgroups_discards(tmp_path: Path) -> None:
    async def story() -> None:
        async with house(tmp_path) as home:
            home.runtime.fingerprint = lambda: _here(frozenset({"exec", "tty"}))  # type: ignore[method-assign]
            body = {"Image": "busybox", "HostConfig": {"Memory": 64 << 20, "PidsLimit": 5}}
            made = await home.engine.create(body)
            assert made.warnings == (_MEMORY, _PIDS)
            # The intent is kept: on a host (or a runtime) with cgroups it holds again.
            assert (await home.engine.inspect(made.id)).intent["HostConfig"]["Memory"] == 64 << 20
            assert (await home.engine.create({"Image": "busybox"})).warnings == ()
            running = await home.launch("sleep", "30")
            assert await home.engine.update(running, {"PidsLimit": 7}) == (_PIDS,)
            assert home.runtime.limits == {}
            assert await home.engine.update(running, {"RestartPolicy": {"Name": "always"}}) == ()
            told = (await home.engine.info())["Warnings"]
            assert told[0] == "WARNING: No memory limit support"
            assert "WARNING: No pids limit support" in told
            await home.engine.remove(running, force=True)

    asyncio.run(story())


def test_nothing_is_said_where_limits_hold(tmp_path: Path) -> None:
    async def story() -> None:
        async with house(tmp_path) as home:
            made = await home.engine.create({"Image": "busybox", "HostConfig": {"Memory": 64 << 20}})
            assert made.warnings == ()
            assert (await home.engine.info())["Warnings"] == []

    asyncio.run(story())


def test_every_limit_has_its_warning() -> None:
    everything = Resources(
        memory=1, memory_swap=2, memory_swappiness=1, nano_cpus=1, cpu_shares=2, cpuset_cpus="0"
    )
    assert len(discarded(everything, ())) == 6
    assert discarded(Resources(cpuset_cpus="0", cpuset_mems="0"), ()) == (
        "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.",
    )
    assert discarded(everything, {"cgroups"}) == ()
