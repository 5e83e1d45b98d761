"""A platform that was put elsewhere with --state and --run is found from its OUT alone."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
from collections.abc import Iterator

import pytest

from support.platform import BLUEPRINTS, TestPlatform, platform


@pytest.fixture(scope="module")
def moby() -> Iterator[TestPlatform]:
    with platform(start=False) as built:
        yield built


@pytest.fixture
def placed(moby: TestPlatform) -> Iterator[TestPlatform]:
    """Up, with its files in base/s and base/r."""
    moby.up("--state", str(moby.base / "s"), "--run", str(moby.base / "r"))
    yield moby
    moby.down()
    assert not (moby.run_dir / "elsewhere").exists()


def status(moby: TestPlatform, *args: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(moby.moby("status", "--json", *args, check=False).stdout)
    return found


def test_every_command_finds_it(placed: TestPlatform) -> None:
    assert status(placed, str(placed.out)) == status(
        placed, str(placed.out), "--run", str(placed.base / "r"), "--state", str(placed.base / "s")
    )
    assert placed("env").stdout == f"export DOCKER_HOST=unix://{placed.base}/r/docker.sock\n"
    assert placed("ps").stdout.startswith("CONTAINER ID")
    assert f"platform {placed.name} is up after" in placed.moby("logs", str(placed.out)).stdout
    again = placed.moby("up", "-d", str(placed.out), check=False)
    assert again.returncode == 1
    assert "is up already - its daemon holds" in again.stderr
    assert not placed.state.exists()


def test_a_copy_of_the_platform_is_another_one(placed: TestPlatform) -> None:
    copy = placed.base / "copy"
    shutil.copytree(placed.out, copy)
    found = status(placed, str(copy))
    assert (found["up"], found["run"]) == (False, str(placed.run_dir))
    shutil.rmtree(copy)


def test_it_is_found_through_a_symbolic_link_and_after_a_rebuild(placed: TestPlatform) -> None:
    link = placed.base / "link"
    link.symlink_to(placed.out)
    assert status(placed, str(link))["up"] is True
    link.unlink()
    before = status(placed, str(placed.out))
    blueprint = BLUEPRINTS / "quickstart.yaml"
    placed.moby("build", str(blueprint), "-o", str(placed.out), "--set", f"name={placed.name}")
    assert status(placed, str(placed.out)) == before


def test_after_a_crash_up_goes_on_there(placed: TestPlatform) -> None:
    pid = int(str(status(placed, str(placed.out))["pid"]))
    kill(pid)
    assert status(placed, str(placed.out))["up"] is False
    placed.up()
    found = status(placed, str(placed.out))
    assert (found["up"], found["run"], found["state"]) == (True, f"{placed.base}/r", f"{placed.base}/s")


def test_stopping_the_daemon_alone_keeps_the_pointer(placed: TestPlatform) -> None:
    placed.down("--keep-containers")
    assert status(placed, str(placed.out))["run"] == f"{placed.base}/r"
    placed.up()
    assert status(placed, str(placed.out))["run"] == f"{placed.base}/r"


def test_a_pointer_to_what_is_gone_is_passed_over(moby: TestPlatform) -> None:
    moby.up("--run", str(moby.base / "r2"))
    moby.down("--keep-containers")
    assert status(moby, str(moby.out))["run"] == f"{moby.base}/r2"
    shutil.rmtree(moby.base / "r2")
    assert status(moby, str(moby.out))["run"] == str(moby.run_dir)
    for damage in ("", "[]", "{}", '{"directory": 3}'):
        for file in (moby.run_dir / "elsewhere").iterdir():
            file.write_text(damage)
        assert status(moby, str(moby.out))["run"] == str(moby.run_dir)


def kill(pid: int) -> None:
    handle = os.pidfd_open(pid)
    signal.pidfd_send_signal(handle, signal.SIGKILL)
    select.select([handle], [], [], 10)
    os.close(handle)
