"""Health checks: what is asked for, what follows from results, and probes of host processes."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from engine_house import House, house, run, until
from hypothesis import given, settings
from hypothesis import strategies as st

from moby_components.engine.moby.health.plan import HealthCheck, health_check
from moby_components.engine.moby.health.state import MOST_OUTPUT, Output, Result, after, begun, ended
from moby_components.engine.moby.health.words import go_duration
from moby_components.engine.moby.rendering.check import unwatched
from moby_components.engine.moby.rendering.merge import merge
from moby_py.errors import InvalidArgument

SECOND = 1_000_000_000
MS = 1_000_000


def result(code: int, at: float = 100.0) -> Result:
    start = int(at * SECOND)
    return Result(start, start + MS, code, f"said {code}")


def test_what_a_check_runs_and_its_defaults() -> None:
    assert health_check({}) is None
    assert health_check({"Healthcheck": {}}) is None
    assert health_check({"Healthcheck": {"Test": []}}) is None
    assert health_check({"Healthcheck": {"Test": ["NONE"]}}) is None
    assert health_check({"Healthcheck": {"Test": ["CMD", "a", "b"]}}) == HealthCheck(command=("a", "b"))
    shell = {"Test": ["CMD-SHELL", "a b"], "Interval": 2 * SECOND, "Timeout": 3 * SECOND, "Retries": 7}
    found = health_check({"Healthcheck": {**shell, "StartPeriod": SECOND, "StartInterval": MS}})
    assert found == HealthCheck(
        command=("/bin/sh", "-c", "a b"),
        interval=2.0,
        timeout=3.0,
        start_period=1.0,
        start_interval=0.001,
        retries=7,
    )
    with_shell = health_check({"Healthcheck": {"Test": ["CMD-SHELL", "x"]}, "Shell": ["/bin/ash", "-ec"]})
    assert with_shell is not None
    assert with_shell.command == ("/bin/ash", "-ec", "x")
    defaults = HealthCheck(command=())
    assert (defaults.interval, defaults.timeout, defaults.retries) == (30.0, 30.0, 3)
    assert (defaults.start_period, defaults.start_interval) == (0.0, 5.0)


@pytest.mark.parametrize(
    ("check", "text"),
    [
        ({"Test": ["CMD", "x"], "Interval": MS - 1}, "Interval in Healthcheck cannot be less than 1ms"),
        ({"Test": ["CMD", "x"], "Timeout": 1}, "Timeout in Healthcheck cannot be less than 1ms"),
        ({"Test": ["CMD", "x"], "StartPeriod": -1}, "StartPeriod in Healthcheck cannot be less than 1ms"),
        ({"Test": ["CMD", "x"], "StartInterval": 2}, "StartInterval in Healthcheck cannot be less than 1ms"),
        ({"Test": ["CMD", "x"], "Retries": -1}, "Retries in Healthcheck cannot be negative"),
        ({"Test": ["NONE"], "Retries": -1}, "Retries in Healthcheck cannot be negative"),
        ({"Test": ["curl", "x"]}, "unknown healthcheck type 'curl' (expected 'CMD')"),
        ({"Test": ["CMD"]}, "invalid Healthcheck.Test - nothing follows CMD"),
        ({"Test": "true"}, "invalid Healthcheck.Test - it must be a list of texts"),
        ({"Test": ["CMD", 1]}, "invalid Healthcheck.Test - it must be a list of texts"),
        (
            {"Test": ["CMD", "x"], "Interval": "30s"},
            "invalid Healthcheck.Interval - it must be a whole number",
        ),
        ({"Test": ["CMD", "x"], "Retries": True}, "invalid Healthcheck.Retries - it must be a whole number"),
        (
            {"Test": ["CMD", "x"], "Timeout": 1 << 70},
            "invalid Healthcheck.Timeout - it is larger than 64 bits",
        ),
        (["CMD"], "invalid Healthcheck - it must be an object"),
    ],
)
def test_wrong_checks(check: Any, text: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^{re.escape(text)}$"):
        health_check({"Healthcheck": check})


def test_what_the_user_left_empty_comes_from_the_image() -> None:
    image = {"config": {"Cmd": ["x"], "Healthcheck": {"Test": ["CMD", "a"], "Interval": 5, "Retries": 2}}}

    def merged(check: Any) -> Any:
        return merge({"Healthcheck": check}, image).get("Healthcheck")

    assert merged(None) == {"Test": ["CMD", "a"], "Interval": 5, "Retries": 2}
    assert merged({"Test": ["CMD", "b"]}) == {"Test": ["CMD", "b"], "Interval": 5, "Retries": 2}
    assert merged({"Test": [], "Interval": 9}) == {"Test": ["CMD", "a"], "Interval": 9, "Retries": 2}
    assert merged({"Test": ["NONE"]})["Test"] == ["NONE"]
    broken = {"config": {"Cmd": ["x"], "Healthcheck": ["CMD"]}}
    assert merge({"Healthcheck": {"Test": ["NONE"]}}, broken)["Healthcheck"] == {"Test": ["NONE"]}
    assert merge({}, broken)["Healthcheck"] == ["CMD"]


def test_a_runtime_that_cannot_look_says_so() -> None:
    body = {"Healthcheck": {"Test": ["CMD", "x"]}}
    assert unwatched(body, "acme", frozenset({"exec"})) == ()
    assert unwatched({}, "acme", frozenset()) == ()
    assert unwatched(body, "acme", frozenset()) == (
        "The health check is discarded: runtime 'acme' cannot run a further process (exec).",
    )


def test_three_failures_make_it_unhealthy_and_one_success_healthy() -> None:
    check, health = HealthCheck(command=("x",)), begun(None)
    seen = []
    for code in (1, 1, 1, 1, 0, 2, 2, 0, 3, 3, 3):
        health = after(health, result(code), check, started=0)
        seen.append((health["status"], health["streak"]))
    assert seen == [
        ("starting", 1), ("starting", 2), ("unhealthy", 3), ("unhealthy", 4), ("healthy", 0),
        ("healthy", 1), ("healthy", 2), ("healthy", 0), ("healthy", 1), ("healthy", 2), ("unhealthy", 3),
    ]  # fmt: skip
    assert [entry["ExitCode"] for entry in health["log"]] == [2, 0, 3, 3, 3]
    assert health["log"][-1] == {
        "Start": "1970-01-01T00:01:40.000000000Z",
        "End": "1970-01-01T00:01:40.001000000Z",
        "ExitCode": 3,
        "Output": "said 3",
    }


def test_failures_of_the_start_period_do_not_count_until_the_first_success() -> None:
    check, health = HealthCheck(command=("x",), start_period=10, retries=2), begun(None)
    for at in (1, 2, 9.9):
        health = after(health, result(1, at), check, started=0)
        assert (health["status"], health["streak"]) == ("starting", 0)
    assert after(health, result(1, 10), check, started=0)["streak"] == 1
    health = after(health, result(0, 3), check, started=0)
    health = after(health, result(1, 4), check, started=0)
    assert (health["status"], health["streak"]) == ("healthy", 1)


def test_pauses_between_probes() -> None:
    check = HealthCheck(command=("x",), interval=30, start_period=20, start_interval=2)
    assert check.pause("starting", 19.9) == 2
    assert check.pause("starting", 20) == 30
    assert check.pause("healthy", 1) == 30


@given(st.lists(st.integers(-1, 3), max_size=30), st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_the_status_is_what_the_last_results_say(codes: list[int], retries: int) -> None:
    check, health = HealthCheck(command=("x",), retries=retries), begun(None)
    for code in codes:
        health = after(health, result(code), check, started=0)
    failures = next((n for n, code in enumerate(reversed(codes)) if code == 0), len(codes))
    expected = "unhealthy" if failures >= retries else "healthy" if 0 in codes else "starting"
    assert health["status"] == expected
    assert health["streak"] == failures
    assert len(health["log"]) == min(5, len(codes))


def test_a_new_run_keeps_the_log_and_an_end_is_unhealthy() -> None:
    health = after(begun(None), result(0), HealthCheck(command=("x",)), started=0)
    over = ended(health)
    assert over["status"] == "unhealthy"
    assert begun(over) == {"status": "starting", "streak": 0, "log": health["log"]}


@given(st.lists(st.binary(max_size=3000), max_size=6))
@settings(max_examples=50, deadline=None)
def test_output_is_cut_at_4096_bytes(pieces: list[bytes]) -> None:
    output = Output()
    for piece in pieces:
        output.add(piece)
    whole = b"".join(pieces)
    cut = "..." if len(whole) > MOST_OUTPUT else ""
    assert str(output) == whole[:MOST_OUTPUT].decode(errors="replace") + cut


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (30, "30s"), (1.5, "1.5s"), (0.25, "250ms"), (0.0015, "1.5ms"), (90, "1m30s"),
     (3600, "1h0m0s"), (3661.25, "1h1m1.25s"), (0.000002, "2µs"), (5e-9, "5ns")],
)  # fmt: skip
def test_durations_as_go_prints_them(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text


# -- with an engine -------------------------------------------------------------------------------


def shell(script: str, interval: float = 0.03, **more: Any) -> dict[str, Any]:
    return {"Test": ["CMD-SHELL", script], "Interval": int(interval * SECOND), **more}


async def health(home: House, id: str) -> Any:
    return (await home.engine.inspect(id)).state.health


def test_a_container_gets_healthy_then_unhealthy_and_events_say_so(tmp_path: Path) -> None:
    well = tmp_path / "well"

    async def work() -> None:
        async with house(tmp_path / "h") as home:
            well.touch()
            id = await home.launch("sleep", "30", Healthcheck=shell(f"echo look; test -e {well}", Retries=2))
            assert (await health(home, id)).status == "starting"

            async def is_(status: str) -> bool:
                return bool((await health(home, id)).status == status)

            await until(lambda: is_("healthy"))
            well.unlink()
            await until(lambda: is_("unhealthy"))
            found = await health(home, id)
            assert found.failing_streak >= 2
            assert found.log[-1]["ExitCode"] == 1
            assert found.log[-1]["Output"] == "look\n"
            well.touch()
            await until(lambda: is_("healthy"))
            listed = await home.engine.list(filters={"health": ["healthy"]})
            assert [container.id for container in listed] == [id]
            assert await home.engine.list(filters={"health": ["unhealthy"]}) == []
            told = await home.happened(id, event=["health_status"])
            assert told == ["health_status: healthy", "health_status: unhealthy", "health_status: healthy"]
            probes = await home.happened(id, event=["exec_create", "exec_start", "exec_die"])
            assert probes[0] == f"exec_create: /bin/sh -c echo look; test -e {well}"
            assert probes[1] == f"exec_start: /bin/sh -c echo look; test -e {well}"
            assert probes[2] == "exec_die"
            await home.engine.stop(id, timeout=0)
            assert (await health(home, id)).status == "unhealthy"
            assert home.engine._core.get(id).health is None

    run(work)


def test_a_probe_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            check = shell("echo $$; sleep 97 & wait", Timeout=int(0.1 * SECOND), Retries=1)
            id = await home.launch("sleep", "30", Healthcheck=check)

            async def unhealthy() -> bool:
                return bool((await health(home, id)).status == "unhealthy")

            await until(unhealthy)
            found = (await health(home, id)).log[0]
            assert found["ExitCode"] == -1
            said = re.fullmatch(r"Health check exceeded timeout \(100ms\): (\d+)\n", found["Output"])
            assert said, found["Output"]
            await until(lambda: not Path("/proc", said[1]).exists())
            await home.engine.remove(id, force=True)

    run(work)


def test_a_missing_program_is_a_failed_probe(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            check = {"Test": ["CMD", "surely-not-there"], "Interval": 20 * MS, "Retries": 1}
            id = await home.launch("sleep", "30", Healthcheck=check)

            async def unhealthy() -> bool:
                return bool((await health(home, id)).status == "unhealthy")

            await until(unhealthy)
            found = (await health(home, id)).log[0]
            assert found["ExitCode"] == -1
            assert "executable file not found" in found["Output"]
            await home.engine.remove(id, force=True)

    run(work)


def test_a_paused_container_is_not_probed(tmp_path: Path) -> None:
    count = tmp_path / "count"

    async def work() -> None:
        async with house(tmp_path / "h") as home:
            id = await home.launch("sleep", "30", Healthcheck=shell(f"echo . >> {count}"))
            await until(count.exists)
            await home.engine.pause(id)
            await asyncio.sleep(0.1)  # a probe that had begun may end
            before = count.read_text()
            await asyncio.sleep(0.3)
            assert count.read_text() == before
            await home.engine.unpause(id)
            await until(lambda: count.read_text() > before)
            await home.engine.remove(id, force=True)

    run(work)


def test_health_goes_on_where_it_was_after_the_daemon_was_killed(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.launch("sleep", "30", Healthcheck=shell("exit 1", interval=0.2, Retries=3))

            async def failed_once() -> bool:
                return bool((await health(home, id)).failing_streak == 1)

            await until(failed_once)
            await home.crash()
            home.engine = await home.reopened()
            found = await health(home, id)
            assert (found.status, found.failing_streak) == ("starting", 1)

            async def unhealthy() -> bool:
                return bool((await health(home, id)).status == "unhealthy")

            await until(unhealthy)
            assert (await health(home, id)).failing_streak == 3
            await home.engine.remove(id, force=True)

    run(work)


def test_bad_checks_are_refused_at_create(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            with pytest.raises(InvalidArgument, match=r"^Interval in Healthcheck cannot be less than 1ms$"):
                await home.create("true", Healthcheck={"Test": ["CMD", "x"], "Interval": 10})
            folder = home.root / "base"
            home.store.add("docker.io/library/bad:latest", folder, Cmd=["true"], Healthcheck={"Test": "true"})
            with pytest.raises(
                InvalidArgument, match=r"^invalid Healthcheck.Test - it must be a list of texts$"
            ):
                await home.engine.create({"Image": "bad"})

    run(work)
