"""The quickstart as an ordinary user: no root, no program but what PyPI brings (issue 1, line 1)."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.archive import BUSYBOX, busybox_archive
from support.platform import ROOT, TestPlatform, platform

pytestmark = pytest.mark.root  # to become somebody else
RANGELESS = 54321


def as_user(uid: int) -> list[str]:
    return ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", "--no-new-privs"]


@pytest.fixture(scope="module", params=["single-id", "with-subids"])
def moby(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestPlatform]:
    """Without subordinate ids (a map of one id), and with them (newuidmap)."""
    uid, made = RANGELESS, ""
    prefix = as_user(uid)
    if request.param == "with-subids":
        if not shutil.which("newuidmap") or not shutil.which("useradd"):
            pytest.skip("needs newuidmap and useradd (apt-get install uidmap passwd)")
        made = f"mp{secrets.token_hex(3)}"
        subprocess.run(["useradd", "--no-create-home", made], check=True)
        uid = pwd.getpwnam(made).pw_uid
        # newuidmap is setuid: no_new_privs would disarm it
        prefix = as_user(uid)[:-1]
    try:
        with platform("quickstart.yaml", user=prefix, uid=uid, env={"USER": made or "nobody"}) as running:
            archive = busybox_archive(tmp_path_factory.mktemp("archive"))
            shutil.copy(archive, running.base / "busybox.tar")
            running("load", "-i", str(running.base / "busybox.tar"))
            yield running
    finally:
        if made:
            subprocess.run(["userdel", made], check=False, capture_output=True)


def test_the_daemon_is_not_root(moby: TestPlatform) -> None:
    assert os.stat(f"/proc/{moby.daemon_pid}").st_uid != 0


def test_run_exec_logs_and_exit_codes(moby: TestPlatform) -> None:
    assert moby("run", "--rm", BUSYBOX, "echo", "hello").stdout == "hello\n"
    assert moby("run", "--rm", BUSYBOX, "sh", "-c", "exit 7", check=False).returncode == 7
    assert moby("run", "--rm", "-i", BUSYBOX, "cat", input="through").stdout == "through"
    moby("run", "-d", "--name", "stays", BUSYBOX, "sh", "-c", "echo working; sleep 60")
    try:
        assert moby("exec", "stays", "sh", "-c", "echo $(id -u)").stdout == "0\n"
        assert moby("logs", "stays").stdout == "working\n"
        assert "stays" in moby("ps").stdout
    finally:
        moby("rm", "-f", "stays")


def test_files_volumes_and_secrets(moby: TestPlatform) -> None:
    assert moby("run", "--rm", BUSYBOX, "sh", "-c", "echo x > /etc/new; cat /etc/new").stdout == "x\n"
    moby("run", "--rm", "-v", "data:/data", BUSYBOX, "sh", "-c", "echo kept > /data/f")
    assert moby("run", "--rm", "-v", "data:/data", BUSYBOX, "cat", "/data/f").stdout == "kept\n"
    moby("secret", "create", "token", "-", input="value")
    assert moby("run", "--rm", "--secret", "token", BUSYBOX, "cat", "/run/secrets/token").stdout == "value"
    moby("secret", "rm", "token")
    moby("volume", "rm", "data")


def test_files_in_and_out_running_or_not(moby: TestPlatform) -> None:
    """Owners that the user's map does not know become its own; nothing needs root."""
    (moby.base / "sent").mkdir(exist_ok=True)
    (moby.base / "sent/f").write_text("sent\n")
    os.chown(moby.base / "sent/f", 4_000_000, 4_000_000)
    back = moby.base / "back"
    back.mkdir(mode=0o777, exist_ok=True)
    back.chmod(0o777)
    moby("run", "-d", "--name", "box", "-v", "kept:/kept", BUSYBOX, "sleep", "60")
    try:
        for place in ("/tmp", "/kept"):
            moby("cp", str(moby.base / "sent"), f"box:{place}")
            assert moby("exec", "box", "cat", f"{place}/sent/f").stdout == "sent\n"
            moby("cp", f"box:{place}/sent", str(back))
            assert (back / "sent/f").read_text() == "sent\n"
            shutil.rmtree(back / "sent")
        moby("stop", "-t", "0", "box")
        moby("cp", str(moby.base / "sent/f"), "box:/kept/late")
        moby("cp", "box:/kept/late", str(back / "late"))
        moby("export", "-o", str(back / "root.tar"), "box")
        assert (back / "root.tar").stat().st_size > 1_000_000
        assert moby("run", "--rm", "-v", "kept:/k", BUSYBOX, "cat", "/k/late").stdout == "sent\n"
    finally:
        moby("rm", "-f", "box")
        moby("volume", "rm", "kept")


def test_it_is_adopted_after_a_kill(moby: TestPlatform) -> None:
    moby("run", "-d", "--name", "steady", BUSYBOX, "sleep", "60")
    try:
        moby.kill_daemon()
        moby.up()
        assert "Up" in moby("ps", "--filter", "name=steady").stdout
        assert moby("exec", "steady", "echo", "still here").stdout == "still here\n"
    finally:
        moby("rm", "-f", "steady")


def test_limits_that_cannot_hold_are_told(moby: TestPlatform) -> None:
    """An ordinary user has no cgroups here: docker and our own command both say what is discarded."""
    for client in (moby.docker, moby):
        done = client(
            "run", "--rm", "-m", "64m", "--pids-limit", "9", "--cpus", "1", BUSYBOX, "echo", "hello"
        )
        assert done.stdout == "hello\n"
        for text in ("memory limit capabilities", "PIDs limit capabilities", "CPU CFS scheduler"):
            assert f"Your kernel does not support {text} or the cgroup is not mounted." in done.stderr
        assert client("run", "--rm", BUSYBOX, "true").stderr == ""
    assert "WARNING: No memory limit support" in moby.docker("info").stderr


def test_the_docker_client_works_too(moby: TestPlatform) -> None:
    assert moby.docker("run", "--rm", BUSYBOX, "echo", "hello").stdout == "hello\n"


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("who", ["root", "ordinary"])
def test_the_demo_shows_the_main_job(who: str, tmp_path: Path) -> None:
    """`make demo`, less the making of the virtual environment."""
    if not (ROOT / ".venv/bin/moby-py").exists():
        pytest.skip("runs where `make` has made .venv")
    home = Path(f"/tmp/mp-home-{secrets.token_hex(3)}")
    home.mkdir()
    prefix = []
    if who == "ordinary":
        os.chown(home, RANGELESS, RANGELESS)
        prefix = as_user(RANGELESS)
    try:
        done = subprocess.run(
            [*prefix, "sh", str(ROOT / "docs/demo.sh")],
            capture_output=True,
            text=True,
            env={"PATH": os.environ["PATH"], "HOME": str(home)},
            cwd="/",
            check=False,
        )
    finally:
        shutil.rmtree(home)
    assert done.returncode == 0, done.stdout + done.stderr
    for text in ("hello\n", "from standard input\n", "its exit status: 7\n", "working\n", "correct horse\n"):
        assert text in done.stdout, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert sys.version_info >= (3, 11)
