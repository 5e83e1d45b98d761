"""`rootless.enter` as a real ordinary user: new namespaces, joined ones, id ranges, refusals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from assembler.rootless import ordinary

ENTER = """
import json, os, subprocess, sys
from pathlib import Path
from moby_py import rootless
run = Path(sys.argv[1])
before = rootless.is_rootless()
rootless.enter(run)
mount = Path("mnt")
mount.mkdir(exist_ok=True)
if not mount.is_mount():
    subprocess.run(["mount", "-t", "tmpfs", "x", str(mount)], check=True)
    (mount / "made").write_text("here")
from moby_py.directories import state_dir, user_id
print(json.dumps({
    "before": before, "rootless": rootless.is_rootless(), "euid": os.geteuid(), "cwd": os.getcwd(),
    "keeper": rootless.keeper(run), "uids": rootless.id_map("uid"), "gids": rootless.id_map("gid"),
    "files": os.listdir(mount), "ns": os.readlink("/proc/self/ns/mnt"), "user": user_id(),
    "state": str(state_dir("shop")),
}))
"""
LEAVE = (
    "import sys; from pathlib import Path; from moby_py import rootless; rootless.leave(Path(sys.argv[1]))"
)


@pytest.fixture
def home() -> Iterator[Path]:
    with ordinary.user_dir() as home:
        yield home
        record = home / "run/keeper.json"
        if record.exists():
            os.kill(json.loads(record.read_text())["pid"], signal.SIGKILL)


def enter(home: Path) -> dict:
    done = ordinary.run(ENTER, str(home / "run"), home=home)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_mounts_outlive_the_process_that_made_them(home: Path) -> None:
    first = enter(home)
    assert first["before"] is True
    assert first["rootless"] is True
    assert first["euid"] == 0
    assert first["cwd"] == str(home)
    assert first["files"] == ["made"]
    assert first["state"] == f"{home}/.local/share/moby-py/shop"
    assert not os.path.ismount(home / "mnt"), "the mount leaked to the host"
    second = enter(home)
    assert second["keeper"] == first["keeper"]
    assert second["ns"] == first["ns"]
    assert second["files"] == ["made"]
    done = ordinary.run(LEAVE, str(home / "run"), home=home)
    assert done.returncode == 0, done.stderr
    assert not alive(first["keeper"])
    assert not (home / "run/keeper.json").exists()
    assert ordinary.run(LEAVE, str(home / "run"), home=home).returncode == 0, "leave is idempotent"


def test_keeper_has_no_terminal_no_files_and_init_as_parent(home: Path) -> None:
    pid = enter(home)["keeper"]
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    assert int(fields[3]) == pid, "leads a session of its own"
    assert int(fields[4]) == 0, "has no controlling terminal"
    if os.geteuid() == 0:
        fds = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
        assert fds == {"/dev/null"}
    assert Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[1] == b"infinity"


def test_a_reused_pid_is_not_taken_for_the_keeper(home: Path) -> None:
    first = enter(home)
    record = home / "run/keeper.json"
    written = json.loads(record.read_text())
    record.write_text(json.dumps({"pid": os.getpid(), "start": written["start"]}))
    second = enter(home)
    try:
        assert second["keeper"] not in (first["keeper"], os.getpid())
        assert second["ns"] != first["ns"]
    finally:
        os.kill(first["keeper"], signal.SIGKILL)


def test_two_at_once_make_one_keeper(home: Path) -> None:
    code = "import sys; from pathlib import Path; from moby_py import rootless as r; run = Path(sys.argv[1])"
    code += "\nr.enter(run)\nprint(r.keeper(run))"
    argv = ordinary.command([sys.executable, "-c", code, str(home / "run")])
    both = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=home) for _ in range(2)]
    pids = {process.communicate(timeout=30)[0].strip() for process in both}
    assert len(pids) == 1
    assert pids.pop().isdecimal()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a user id ranges")
@pytest.mark.skipif(shutil.which("newuidmap") is None, reason="needs newuidmap (uidmap)")
def test_id_ranges_are_used_where_there_are_any(home: Path, tmp_path: Path) -> None:
    done = ordinary.run_with_ranges(
        ENTER,
        str(home / "run"),
        home=home,
        files=tmp_path,
        subuid="other:1000000:65536\nmoby-test:200000:65536\n",
        subgid="moby-test:300000:1000\n12345:400000:2000\n",
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["uids"] == [[0, 12345, 1], [1, 200000, 65536]]
    assert said["gids"] == [[0, 12345, 1], [1, 300000, 1000], [1001, 400000, 2000]]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to set the limit")
def test_switched_off_user_namespaces_are_named_with_the_way_out(tmp_path: Path) -> None:
    """The limit is set in a user namespace of its own, so the host keeps its own."""
    code = """
import os, sys, subprocess
from pathlib import Path
Path("/proc/sys/user/max_user_namespaces").write_text("0")
from moby_py import rootless
try:
    rootless.enter(Path(sys.argv[1]))
except Exception as error:
    print(type(error).__name__); print(error.message); print(error.hint)
"""
    done = subprocess.run(
        ["unshare", "-U", "-r", sys.executable, "-c", code, str(tmp_path / "run")],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "HostError",
        "no user namespace for an ordinary user - sysctl user.max_user_namespaces is 0 "
        "([Errno 28] unshare: No space left on device)",
        "sudo sysctl -w user.max_user_namespaces=28633, or run the platform as root",
    ], done.stderr
