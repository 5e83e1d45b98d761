"""A whole daemon with services: killed, started again, taken down dead and alive."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator

import pytest

from assembler.running.service_kit import ToyPlatform, alive, toy_platform, until
from moby_py import survivors

pytestmark = pytest.mark.root


@pytest.fixture
def toys() -> Iterator[ToyPlatform]:
    with toy_platform() as made:
        yield made


def test_a_killed_daemons_successor_takes_up_the_kept_one_and_replaces_the_other(toys: ToyPlatform) -> None:
    assert toys.up().returncode == 0
    first = toys.pids()
    assert set(first) == {"kept", "plain"}
    toys.kill_daemon()
    assert all(alive(pid) for pid in first.values())
    assert toys.up().returncode == 0
    second = toys.pids()
    assert second["kept"] == first["kept"]
    assert second["plain"] != first["plain"]
    assert not alive(first["plain"])
    assert f"service kept goes on, pid {first['kept']}" in toys.log()
    assert toys.moby("down").returncode == 0
    assert not any(alive(pid) for pid in (*first.values(), *second.values()))
    assert not (toys.run / survivors.FILE).exists()


def test_down_ends_what_a_killed_daemon_left(toys: ToyPlatform) -> None:
    toys.up()
    pids = toys.pids()
    toys.kill_daemon()
    said = toys.moby("down", "--keep-containers")
    assert (said.returncode, said.stdout) == (0, "sv is not up\n")
    assert all(alive(pid) for pid in pids.values())
    said = toys.moby("down")
    assert (said.returncode, said.stdout) == (
        0,
        "sv is not up\n"
        "ended service toy/toy/plain, which its daemon had left\n"
        "ended service toy/toy/kept, which its daemon had left\n",
    )
    until(lambda: not any(alive(pid) for pid in pids.values()))
    assert toys.moby("down").stdout == "sv is not up\n"


def test_with_the_containers_the_kept_one_stays_and_is_taken_up(toys: ToyPlatform) -> None:
    toys.up()
    first = toys.pids()
    assert toys.moby("down", "--keep-containers").returncode == 0
    assert {name: alive(pid) for name, pid in first.items()} == {"kept": True, "plain": False}
    toys.up()
    assert toys.pids()["kept"] == first["kept"]


def test_a_start_that_fails_ends_what_it_started_and_not_what_it_found(toys: ToyPlatform) -> None:
    (toys.base / "fail").touch()
    assert toys.up().returncode != 0
    assert toys.pids() == {}
    (toys.base / "fail").unlink()
    toys.up()
    kept = toys.pids()["kept"]
    toys.kill_daemon()
    (toys.base / "fail").touch()
    assert toys.up().returncode != 0
    assert toys.pids() == {"kept": kept}
    assert alive(kept)


def test_services_of_a_daemon_that_lives_are_not_ours_to_end(toys: ToyPlatform) -> None:
    toys.up()
    pids = toys.pids()
    with (toys.run / "daemon.lock").open() as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    assert survivors.end_all(toys.run) == []
    assert all(alive(pid) for pid in pids.values())
