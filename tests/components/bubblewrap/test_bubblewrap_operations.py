"""The operations table: as root here, as an ordinary user in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path

import pytest

from assembler.rootless import ordinary
from components.bubblewrap import cgroup_operations, operations
from components.bubblewrap.room import room
from support.platform import processes

TESTS = Path(__file__).parents[2]
CODE = (
    f"import sys; sys.path.insert(0, {str(TESTS)!r}); "
    "from components.bubblewrap import play; play.main(*sys.argv[1:])"
)


async def _play(work: operations.Operation, base: Path) -> None:
    async with room(base) as made:
        await asyncio.wait_for(work(made), 60)


@pytest.mark.root
@pytest.mark.parametrize("name", [*operations.TABLE, *cgroup_operations.TABLE])
def test_as_root(name: str, tmp_path: Path) -> None:
    work = operations.TABLE.get(name) or cgroup_operations.TABLE[name]
    asyncio.run(_play(work, tmp_path / "room"))


@pytest.fixture(scope="module")
def as_ordinary_user() -> dict[str, str]:
    """Every operation inside `rootless.enter`, in one process: name -> "" or the traceback."""
    with ordinary.user_dir() as home:
        done = ordinary.run(CODE, str(home), home=home, timeout=240)
        try:
            results: dict[str, str] = json.loads((home / "results.json").read_text())
        except FileNotFoundError:
            pytest.fail(f"the table did not end: {done.stdout}\n{done.stderr}")
    return results


@pytest.mark.parametrize("name", list(operations.TABLE))
def test_as_ordinary_user(name: str, as_ordinary_user: dict[str, str]) -> None:
    assert as_ordinary_user[name] == ""


@pytest.mark.root
@pytest.mark.skipif(shutil.which("newuidmap") is None, reason="needs newuidmap (uidmap)")
def test_as_ordinary_user_with_id_ranges(tmp_path: Path) -> None:
    """Where the user has subordinate ids, containers have more users than root."""
    names = ["users", "capabilities_and_no_new_privs", "exec_in_it", "mounts"]
    with ordinary.user_dir() as home:
        done = ordinary.run_with_ranges(
            CODE,
            str(home),
            *names,
            home=home,
            files=tmp_path,
            subuid="moby-test:200000:65536\n",
            subgid="moby-test:200000:65536\n",
        )
        assert done.returncode == 0, done.stderr
        results = json.loads((home / "results.json").read_text())
    assert {name: results[name] for name in names} == dict.fromkeys(names, "")


def test_the_ordinary_user_is_told_what_needs_root(as_ordinary_user: dict[str, str]) -> None:
    assert as_ordinary_user["features"] == (
        "devices exec join-namespaces seccomp tty | runtime 'bubblewrap' does not support 'pause' here - "
        "it needs cgroups, and this platform's user may not make any | run the platform as root"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to see every process")
def test_nothing_is_left_of_the_table(as_ordinary_user: dict[str, str]) -> None:
    left = [text for _, text in processes("bubblewrap/monitor/__main__") if "/moby-test-" in text]
    assert left == []
