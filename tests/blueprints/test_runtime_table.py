"""One table: every runtime, every operation, the same answers (issue 1, line 1).

Each column is one platform, built from blueprints/quickstart.yaml with only `components.runtime`
changed, driven through its own command.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.archive import BUSYBOX, busybox_archive
from support.platform import TestPlatform, platform
from support.terminal import Terminal

pytestmark = pytest.mark.root
RUNTIMES = ("bubblewrap", "runc", "crun", "runsc")
PROGRAM = {"bubblewrap": "true"}
HEADINGS = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return busybox_archive(tmp_path_factory.mktemp("archive"))


@pytest.fixture(scope="module", params=RUNTIMES)
def moby(request: pytest.FixtureRequest, archive: Path) -> Iterator[TestPlatform]:
    program = PROGRAM.get(request.param, request.param)
    if not shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin"):
        pytest.skip(f"needs {program} (apt-get install {program})")
    with platform("quickstart.yaml", sets=[f"components.runtime={request.param}"]) as running:
        running("load", "-i", str(archive))
        yield running


@pytest.fixture
def name(moby: TestPlatform) -> Iterator[str]:
    """A container name that is free again afterwards."""
    name = f"c{secrets.token_hex(4)}"
    yield name
    moby("rm", "-f", name, check=False)


def state(moby: TestPlatform, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(moby("inspect", name).stdout)[0]["State"]
    return found


def wait_for_log(moby: TestPlatform, name: str, text: str, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while text not in moby("logs", name, check=False).stdout:
        assert time.monotonic() < deadline, f"{text!r} did not appear in the log of {name}"
        time.sleep(0.1)


def test_run_prints_and_exits_0(moby: TestPlatform) -> None:
    done = moby("run", "--rm", BUSYBOX, "echo", "hello")
    assert (done.stdout, done.stderr, done.returncode) == ("hello\n", "", 0)
    assert moby("ps", "-aq").stdout == ""


def test_exit_code_is_the_containers(moby: TestPlatform) -> None:
    assert moby("run", "--rm", BUSYBOX, "sh", "-c", "exit 42", check=False).returncode == 42


def test_stdout_and_stderr_stay_apart(moby: TestPlatform) -> None:
    done = moby("run", "--rm", BUSYBOX, "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_death_by_signal_is_128_plus_n(moby: TestPlatform, name: str) -> None:
    moby("run", "-d", "--name", name, BUSYBOX, "sleep", "60")
    moby("kill", name)
    assert moby("wait", name).stdout == "137\n"
    assert (state(moby, name)["ExitCode"], state(moby, name)["OOMKilled"]) == (137, False)
    done = moby("run", "--rm", BUSYBOX, "sh", "-c", "sh -c 'kill -TERM $$'; exit $?", check=False)
    assert done.returncode == 143


def test_a_missing_program_is_127_and_one_not_executable_126(moby: TestPlatform) -> None:
    missing = moby("run", "--rm", BUSYBOX, "surely-not-there", check=False)
    assert missing.returncode == 127, missing.stderr
    assert "surely-not-there" in missing.stderr
    refused = moby("run", "--rm", BUSYBOX, "/etc/passwd", check=False)
    assert refused.returncode == 126, refused.stderr
    assert moby("ps", "-aq").stdout == ""


def test_stdin_with_i(moby: TestPlatform) -> None:
    assert moby("run", "--rm", "-i", BUSYBOX, "cat", input="over\nand back\n").stdout == "over\nand back\n"


def test_without_i_stdin_is_empty(moby: TestPlatform) -> None:
    assert moby("run", "--rm", BUSYBOX, "cat", input="not for you\n").stdout == ""


def test_a_terminal_with_it(moby: TestPlatform) -> None:
    with Terminal(
        moby.command("run", "--rm", "-it", BUSYBOX, "sh"), env=moby.env, size=(33, 101)
    ) as terminal:
        terminal.expect("#")
        terminal.send("stty size; test -t 0 && echo is a tty; exit 5\n")
        terminal.expect("33 101")
        terminal.expect("\nis a tty")
        assert terminal.wait() == 5


def test_detached_then_ps_and_logs(moby: TestPlatform, name: str) -> None:
    id = moby("run", "-d", "--name", name, BUSYBOX, "sh", "-c", "echo started; sleep 60").stdout.strip()
    assert re.fullmatch("[0-9a-f]{64}", id)
    wait_for_log(moby, name, "started\n")
    lines = moby("ps").stdout.splitlines()
    assert re.split(r" {2,}", lines[0]) == HEADINGS
    assert re.match(rf'{id[:12]} +{BUSYBOX} +"sh -c \'echo started…" +.* ago +Up .* +{name}$', lines[1]), (
        lines[1]
    )


def test_logs_follow_to_the_end(moby: TestPlatform, name: str) -> None:
    moby("run", "-d", "--name", name, BUSYBOX, "sh", "-c", "for n in 1 2 3; do echo $n; sleep 0.3; done")
    assert moby("logs", "-f", name).stdout == "1\n2\n3\n"
    assert moby("logs", "--tail", "1", name).stdout == "3\n"
    assert re.match(r"\d{4}-\d\d-\d\dT\S+Z 1\n", moby("logs", "-t", name).stdout)


def test_exec_and_its_exit_code(moby: TestPlatform, name: str) -> None:
    moby("run", "-d", "--name", name, BUSYBOX, "sleep", "60")
    done = moby("exec", "-e", "A=b", "-w", "/tmp", name, "sh", "-c", "echo $A $PWD; exit 3", check=False)
    assert (done.stdout, done.returncode) == ("b /tmp\n", 3)
    assert moby("exec", "-i", name, "cat", input="through exec").stdout == "through exec"
    assert moby("exec", name, "surely-not-there", check=False).returncode == 127


def test_exec_with_a_terminal(moby: TestPlatform, name: str) -> None:
    moby("run", "-d", "--name", name, BUSYBOX, "sleep", "60")
    with Terminal(moby.command("exec", "-it", name, "sh"), env=moby.env, size=(20, 70)) as terminal:
        terminal.expect("#")
        terminal.send("stty size; exit 4\n")
        terminal.expect("20 70")
        assert terminal.wait() == 4


def test_stop_gives_grace_and_then_kills(moby: TestPlatform, name: str) -> None:
    script = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.1; done"
    moby("run", "-d", "--name", name, BUSYBOX, "sh", "-c", script)
    wait_for_log(moby, name, "ready")
    moby("stop", name)
    assert state(moby, name)["ExitCode"] == 0
    assert "bye" in moby("logs", name).stdout
    moby("rm", name)
    moby(
        "run",
        "-d",
        "--name",
        name,
        BUSYBOX,
        "sh",
        "-c",
        "trap '' TERM; echo ready; while :; do sleep 0.1; done",
    )
    wait_for_log(moby, name, "ready")
    began = time.monotonic()
    moby("stop", "-t", "1", name)
    assert 0.9 < time.monotonic() - began < 8
    assert state(moby, name)["ExitCode"] == 137


def test_kill_with_a_signal(moby: TestPlatform, name: str) -> None:
    script = "trap 'exit 31' USR1; echo ready; while :; do sleep 0.1; done"
    moby("run", "-d", "--name", name, BUSYBOX, "sh", "-c", script)
    wait_for_log(moby, name, "ready")
    moby("kill", "-s", "USR1", name)
    assert moby("wait", name).stdout == "31\n"
    refused = moby("kill", name, check=False)
    assert refused.returncode == 1
    assert "is not running" in refused.stderr


def test_pause_freezes_and_unpause_thaws(moby: TestPlatform, name: str) -> None:
    moby("run", "-d", "--name", name, BUSYBOX, "sh", "-c", "while :; do echo x; sleep 0.05; done")
    wait_for_log(moby, name, "x")
    moby("pause", name)
    assert "(Paused)" in moby("ps").stdout
    time.sleep(0.2)
    first = len(moby("logs", name).stdout)
    time.sleep(0.5)
    assert len(moby("logs", name).stdout) == first
    moby("unpause", name)
    time.sleep(0.5)
    assert len(moby("logs", name).stdout) > first


def test_rm_refuses_a_running_one_without_f(moby: TestPlatform, name: str) -> None:
    moby("run", "-d", "--name", name, BUSYBOX, "sleep", "60")
    refused = moby("rm", name, check=False)
    assert refused.returncode == 1
    assert "running" in refused.stderr
    moby("rm", "-f", name)
    assert name not in moby("ps", "-a").stdout


def test_the_memory_limit_kills_and_says_so(moby: TestPlatform, name: str) -> None:
    # tail keeps the one endless line of /dev/zero in memory until the limit is hit
    done = moby("run", "--name", name, "-m", "24m", BUSYBOX, "tail", "/dev/zero", check=False, timeout=60)
    assert done.returncode == 137, done.stderr
    assert state(moby, name)["OOMKilled"] is True


def test_a_read_only_root(moby: TestPlatform) -> None:
    script = "touch /x 2>/dev/null && echo wrote; touch /tmp/y && echo tmp"
    assert (
        moby("run", "--rm", "--read-only", "--tmpfs", "/tmp", BUSYBOX, "sh", "-c", script).stdout == "tmp\n"
    )


@pytest.mark.parametrize(
    ("user", "expected"),
    [("user", "1000 1000"), ("1234", "1234 0"), ("1234:99", "1234 99"), ("user:staff", "1000 50")],
)
def test_a_user(moby: TestPlatform, user: str, expected: str) -> None:
    out = moby("run", "--rm", "-u", user, BUSYBOX, "sh", "-c", "echo $(id -u) $(id -g)").stdout
    assert out == expected + "\n"


def test_an_unknown_user_is_refused(moby: TestPlatform) -> None:
    done = moby("run", "--rm", "-u", "nobody-here", BUSYBOX, "true", check=False)
    assert done.returncode == 125
    assert "nobody-here" in done.stderr


def test_environment_workdir_hostname(moby: TestPlatform) -> None:
    script = "echo $A $PWD $(hostname); env | grep -c ^PATH="
    out = moby(
        "run", "--rm", "-e", "A=1 2", "-w", "/made/up", "--hostname", "box", BUSYBOX, "sh", "-c", script
    ).stdout
    assert out == "1 2 /made/up box\n1\n"


def test_an_entrypoint(moby: TestPlatform) -> None:
    assert moby("run", "--rm", "--entrypoint", "echo", BUSYBOX, "a", "b").stdout == "a b\n"


def test_a_volume_outlives_its_container(moby: TestPlatform) -> None:
    volume = f"v{secrets.token_hex(4)}"
    moby("run", "--rm", "-v", f"{volume}:/data", BUSYBOX, "sh", "-c", "echo kept > /data/file")
    assert moby("run", "--rm", "-v", f"{volume}:/data:ro", BUSYBOX, "cat", "/data/file").stdout == "kept\n"
    refused = moby("run", "--rm", "-v", f"{volume}:/data:ro", BUSYBOX, "touch", "/data/x", check=False)
    assert refused.returncode == 1
    moby("volume", "rm", volume)
    assert volume not in moby("volume", "ls").stdout


def test_a_bind_mount(moby: TestPlatform) -> None:
    folder = moby.base / "bind"
    folder.mkdir(exist_ok=True)
    (folder / "in").write_text("from the host\n")
    out = moby(
        "run", "--rm", "-v", f"{folder}:/mnt", BUSYBOX, "sh", "-c", "cat /mnt/in; echo back > /mnt/out"
    ).stdout
    assert out == "from the host\n"
    assert (folder / "out").read_text() == "back\n"


def test_a_tmpfs_of_a_size(moby: TestPlatform) -> None:
    script = "dd if=/dev/zero of=/t/f bs=1024 count=2048 2>/dev/null; stat -c %s /t/f"
    out = moby("run", "--rm", "--tmpfs", "/t:size=1m", BUSYBOX, "sh", "-c", script).stdout
    assert 0 < int(out) <= 1 << 20


def test_a_container_keeps_its_files_over_a_restart(moby: TestPlatform, name: str) -> None:
    script = "echo x >> /count; cat /count"
    assert moby("run", "--name", name, BUSYBOX, "sh", "-c", script).stdout == "x\n"
    assert moby("start", "-a", name).stdout == "x\nx\n"


def test_50_mb_through_a_pipe_unharmed(moby: TestPlatform) -> None:
    data = secrets.token_bytes(1 << 20) * 50
    process = subprocess.Popen(
        moby.command("run", "--rm", "-i", BUSYBOX, "cat"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=moby.env,
    )
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None

    def feed() -> None:
        stdin.write(data)
        stdin.close()

    feeder = threading.Thread(target=feed)
    feeder.start()
    digest, count = hashlib.sha256(), 0
    while piece := stdout.read(1 << 16):
        digest.update(piece)
        count += len(piece)
    feeder.join()
    stdout.close()
    assert process.wait(30) == 0
    assert (count, digest.hexdigest()) == (len(data), hashlib.sha256(data).hexdigest())


def test_ctrl_c_reaches_the_container(moby: TestPlatform, name: str) -> None:
    script = "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.1; done"
    process = subprocess.Popen(
        moby.command("run", "--name", name, BUSYBOX, "sh", "-c", script),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=moby.env,
        text=True,
    )
    wait_for_log(moby, name, "ready")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (9, "ready\ncaught\n"), err
