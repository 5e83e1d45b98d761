"""The supervisor with real processes: ready, restarted, stopped, written down, taken up."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assembler.running.service_kit import alive, service
from moby_py import supervisor as module
from moby_py import survivors
from moby_py.component import Service
from moby_py.errors import Unavailable
from moby_py.supervisor import Supervisor

LOG = logging.getLogger("test.supervisor")


def pid_of(run: Path, name: str) -> int:
    return survivors.read(run)[name].pid


def life(run: Path, work: Callable[[Supervisor], Coroutine[Any, Any, None]], **stop: bool) -> None:
    """One daemon's life: work, then stop."""

    async def whole() -> None:
        one = Supervisor(LOG, run)
        try:
            await asyncio.wait_for(work(one), 60)
        finally:
            await one.stop(**stop)

    asyncio.run(whole())


def test_ready_means_that_its_socket_accepts(tmp_path: Path) -> None:
    async def work(one: Supervisor) -> None:
        await one.start(service(tmp_path), "toy/a")
        _, writer = await asyncio.open_unix_connection(tmp_path / "one")
        writer.close()
        record = tmp_path / survivors.FILE
        assert record.stat().st_mode & 0o777 == 0o600
        (written,) = json.loads(record.read_text())["services"]
        assert (written["name"], written["keep"], alive(written["pid"])) == ("toy/a/one", False, True)
        pids.append(written["pid"])

    pids: list[int] = []
    life(tmp_path, work)
    assert not alive(pids[0])
    assert not (tmp_path / survivors.FILE).exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--broken", "service one ended with status 3 before it was ready - see the platform's log"),
        ("--mute", "service one is not ready after 0.5 s - nothing accepts on {path}"),
    ],
)
def test_one_that_never_gets_ready_is_said_and_ended(tmp_path: Path, flags: str, said: str) -> None:
    async def work(one: Supervisor) -> None:
        with pytest.raises(Unavailable) as caught:
            await one.start(service(tmp_path, "one", flags, ready_timeout=0.5))
        assert str(caught.value) == said.format(path=tmp_path / "one")
        assert survivors.read(tmp_path) == {}

    life(tmp_path, work)


def test_a_program_that_is_not_there_is_said(tmp_path: Path) -> None:
    async def work(one: Supervisor) -> None:
        with pytest.raises(Unavailable) as caught:
            await one.start(Service("one", (str(tmp_path / "none"),)))
        assert str(caught.value) == (
            f"cannot start service one - {tmp_path / 'none'}: no such file or directory"
        )

    life(tmp_path, work)


@pytest.mark.parametrize("keep", [False, True])
def test_one_that_ends_comes_back_with_back_off(
    tmp_path: Path, keep: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(one: Supervisor) -> None:
        await one.start(service(tmp_path, keep=keep), "toy/a")
        for _ in range(2):
            before = pid_of(tmp_path, "toy/a/one")
            os.kill(before, signal.SIGKILL)
            while pid_of(tmp_path, "toy/a/one") == before or not module._accepts(tmp_path / "one"):
                await asyncio.sleep(0.01)
            assert alive(pid_of(tmp_path, "toy/a/one"))

    with caplog.at_level(logging.WARNING):
        life(tmp_path, work)
    # Killed again before the supervisor had seen it ready, it "did not come back" in between.
    assert [record.message for record in caplog.records if "; again in" in record.message] == [
        "service one ended with status -9; again in 0.2 s",
        "service one ended with status -9; again in 0.4 s",
    ]


def test_one_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_GRACE", 0.3)

    async def work(one: Supervisor) -> None:
        await one.start(service(tmp_path, "one", "--stubborn"), "toy/a")
        pids.append(pid_of(tmp_path, "toy/a/one"))

    pids: list[int] = []
    life(tmp_path, work)
    assert not alive(pids[0])


def test_the_next_life_takes_up_what_is_kept_and_watches_it(tmp_path: Path) -> None:
    kept = service(tmp_path, keep=True)

    async def first(one: Supervisor) -> None:
        await one.start(kept, "toy/a")
        await one.start(service(tmp_path, "plain"), "toy/a")
        pids.extend(pid_of(tmp_path, f"toy/a/{name}") for name in ("one", "plain"))

    async def second(one: Supervisor) -> None:
        await one.start(kept, "toy/a")
        assert pid_of(tmp_path, "toy/a/one") == pids[0]
        os.kill(pids[0], signal.SIGKILL)
        while pid_of(tmp_path, "toy/a/one") == pids[0]:
            await asyncio.sleep(0.01)
        pids.append(pid_of(tmp_path, "toy/a/one"))

    pids: list[int] = []
    life(tmp_path, first, leave_kept=True)
    assert [alive(pid) for pid in pids] == [True, False]
    life(tmp_path, second)
    assert not any(alive(pid) for pid in pids)
    assert survivors.read(tmp_path) == {}


def left(run: Path, one: Service, name: str = "toy/a/one") -> subprocess.Popen[bytes]:
    """A process that a killed daemon left and wrote down."""
    child = subprocess.Popen(one.argv)
    record = survivors.Survivor(name, child.pid, survivors.started(child.pid), one.argv, one.keep)
    survivors.write(run, [record])
    return child


@pytest.mark.parametrize("difference", ["not kept", "another command line", "does not accept"])
def test_what_cannot_be_taken_up_is_ended_first(tmp_path: Path, difference: str) -> None:
    old = service(tmp_path, "one", *(["--mute"] if difference == "does not accept" else []), keep=True)
    if difference == "not kept":
        old = replace(old, keep=False)
    child = left(tmp_path, old)
    while not (tmp_path / "one").exists():
        pass
    new = old if difference != "another command line" else replace(old, argv=(*old.argv, "--other"))
    if difference == "does not accept":
        # The same command line; what it does has been mended meanwhile.
        (tmp_path / "server.py").write_text((tmp_path / "server.py").read_text().replace("--mute", "--x"))

    async def work(one: Supervisor) -> None:
        await one.start(new, "toy/a")
        assert child.wait(5) == -signal.SIGTERM
        assert pid_of(tmp_path, "toy/a/one") != child.pid

    life(tmp_path, work)


def test_a_number_that_was_given_out_again_hits_nobody(tmp_path: Path) -> None:
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        kept = service(tmp_path, keep=True)
        record = survivors.Survivor("toy/a/one", bystander.pid, "another-boot:17", kept.argv, True)

        async def work(one: Supervisor) -> None:
            await one.start(kept, "toy/a")
            await one.settle()

        survivors.write(tmp_path, [record])
        life(tmp_path, work)
        survivors.write(tmp_path, [record])
        (tmp_path / "daemon.lock").touch()
        assert survivors.end_all(tmp_path) == []
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_settling_ends_what_the_platform_has_no_more(tmp_path: Path) -> None:
    child = left(tmp_path, service(tmp_path, keep=True), "toy/removed/one")

    async def work(one: Supervisor) -> None:
        await one.start(service(tmp_path, "two"), "toy/a")
        assert set(survivors.read(tmp_path)) == {"toy/removed/one", "toy/a/two"}
        await one.settle()
        assert set(survivors.read(tmp_path)) == {"toy/a/two"}
        assert child.wait(5) == -signal.SIGTERM

    life(tmp_path, work)


def test_a_failed_start_leaves_what_it_found_and_no_more(tmp_path: Path) -> None:
    kept = service(tmp_path, keep=True)
    child = left(tmp_path, kept)
    while not (tmp_path / "one").exists():
        pass

    async def work(one: Supervisor) -> None:
        await one.start(kept, "toy/a")
        await one.start(service(tmp_path, "new", keep=True), "toy/a")
        pids.append(pid_of(tmp_path, "toy/a/new"))

    pids: list[int] = []
    life(tmp_path, work, leave_adopted=True)
    assert not alive(pids[0])
    assert child.poll() is None
    assert {name: one.pid for name, one in survivors.read(tmp_path).items()} == {"toy/a/one": child.pid}
    assert survivors.end_all(tmp_path) == ["toy/a/one"]
    assert child.wait(5) == -signal.SIGTERM


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"services": [{"name": "x"}]}', "\0"])
def test_a_damaged_record_is_no_record(tmp_path: Path, text: str) -> None:
    (tmp_path / survivors.FILE).write_text(text)
    assert survivors.read(tmp_path) == {}
