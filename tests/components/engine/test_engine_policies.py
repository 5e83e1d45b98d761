"""Restart policies across the end of a daemon: delays that go on, starts at boot that fail at first."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from engine_house import House, house, run, until

from moby_components.engine.moby.clock import nanoseconds, now_ns
from moby_components.engine.moby.restart import worth_retrying
from moby_py.errors import Conflict, InvalidArgument, NotFound, RuntimeFailed, Unavailable

ALWAYS = {"RestartPolicy": {"Name": "always"}}


def record(home: House, id: str) -> Any:
    return home.engine._core.get(id).record


def test_a_crash_loop_goes_on_at_its_pace_after_a_kill_of_the_daemon(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.launch("false", host=ALWAYS)
            await until(lambda: record(home, id).restart_count >= 3)
            before = (record(home, id).restart_count, record(home, id).back_off)
            assert before == (3, 0.4)
            ended = nanoseconds(record(home, id).finished_at)
            await home.crash()
            home.engine = await home.reopened()
            assert record(home, id).status == "restarting"
            await until(lambda: record(home, id).restart_count == 4)
            assert record(home, id).back_off == 0.8
            # What was left of the 0.4 s, not none of it and not all of it again.
            assert 0.35e9 <= nanoseconds(record(home, id).finished_at) - ended <= 0.9e9
            await home.engine.stop(id)
            assert await home.status(id) == "exited"
            await home.engine.remove(id)

    run(work)


def test_on_failure_counts_over_a_kill_of_the_daemon(tmp_path: Path) -> None:
    policy = {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}}

    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.launch("sh", "-c", "exit 4", host=policy)
            await until(lambda: record(home, id).restart_count == 2)
            await home.crash()
            home.engine = await home.reopened()
            await until(lambda: record(home, id).status == "exited")
            assert (record(home, id).exit_code, record(home, id).restart_count) == (4, 3)
            await home.engine.remove(id)

    run(work)


def test_a_start_at_boot_that_fails_is_tried_again(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.launch("sleep", "60", host=ALWAYS)
            await home.engine.shutdown()
            await home.engine.close()
            home.runtime.fail = "the network is not up yet"
            home.engine = await home.reopened()
            await until(lambda: record(home, id).status == "restarting")
            assert record(home, id).error == "the network is not up yet"
            await until(lambda: record(home, id).status == "running")
            assert record(home, id).restart_count == 1
            await home.engine.remove(id, force=True)

    run(work)


def test_a_start_at_boot_that_can_never_succeed_is_given_up(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.launch("sleep", "60", host=ALWAYS)
            await home.engine.shutdown()
            await home.engine.close()
            home.runtime.fail = 'exec: "sleep": executable file not found in $PATH'
            home.engine = await home.reopened()
            await until(lambda: record(home, id).exit_code == 127)
            await asyncio.sleep(0.3)
            assert (record(home, id).status, record(home, id).restart_count) == ("exited", 0)

    run(work)


def test_stop_ends_the_trying(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.launch("sleep", "60", host={"RestartPolicy": {"Name": "unless-stopped"}})
            await home.engine.shutdown()
            await home.engine.close()
            home.runtime.fail = "busy"
            home.engine = await home.reopened()
            await until(lambda: record(home, id).status == "restarting")
            await home.engine.stop(id)
            assert await home.status(id) == "exited"
            await home.crash()
            home.engine = await home.reopened()
            await asyncio.sleep(0.3)
            assert await home.status(id) == "exited"

    run(work)


def test_a_reboot_restarts_what_policies_ask_for(tmp_path: Path) -> None:
    """No runtime knows anything of any container any more."""

    async def work() -> None:
        async with house(tmp_path) as home:
            ids = {
                name: await home.launch("sleep", "60", host={"RestartPolicy": {"Name": name}})
                for name in ("always", "unless-stopped", "on-failure", "no")
            }
            stopped = await home.launch("sleep", "60", host={"RestartPolicy": {"Name": "unless-stopped"}})
            await home.engine.stop(stopped, timeout=0)
            await home.crash()
            for id in ids.values():
                await home.runtime.delete(id)
            began = now_ns()
            home.engine = await home.reopened()
            for name in ("always", "unless-stopped", "on-failure"):
                await until(lambda name=name: record(home, ids[name]).status == "running")
                assert nanoseconds(record(home, ids[name]).started_at) > began
            assert (record(home, ids["no"]).status, record(home, ids["no"]).exit_code) == ("exited", 255)
            assert record(home, stopped).status == "exited"
            for id in ids.values():
                await home.engine.remove(id, force=True)

    run(work)


def test_which_failures_may_pass() -> None:
    assert worth_retrying(Unavailable("x"), 128)
    assert worth_retrying(Conflict("port is taken"), 128)
    assert worth_retrying(RuntimeFailed("x"), 128)
    assert not worth_retrying(RuntimeFailed("x"), 127)
    assert not worth_retrying(RuntimeFailed("x"), 126)
    assert not worth_retrying(InvalidArgument("x"), 128)
    assert not worth_retrying(NotFound("x"), 128)
