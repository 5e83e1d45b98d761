"""docker and docker-py against a whole platform: the real engine, store, runtime and vault."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.archive import BUSYBOX, busybox_archive
from support.platform import TestPlatform, platform
from support.terminal import Terminal

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("docker") is None, reason="needs the docker command line"),
    pytest.mark.skipif(shutil.which("skopeo") is None, reason="needs skopeo (apt-get install skopeo)"),
]


@pytest.fixture(scope="module")
def moby(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestPlatform]:
    archive = busybox_archive(tmp_path_factory.mktemp("archive"))
    with platform("quickstart.yaml") as running:
        assert f"Loaded image: {BUSYBOX}" in running.docker("load", "-i", str(archive)).stdout
        yield running


def test_run_exit_codes_and_streams(moby: TestPlatform) -> None:
    done = moby.docker("run", "--rm", BUSYBOX, "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    done = moby.docker("run", "--rm", BUSYBOX, "nonono", check=False)
    assert done.returncode == 127
    assert 'exec: "nonono": executable file not found in $PATH' in done.stderr
    assert moby.docker("run", "--rm", BUSYBOX, "/etc", check=False).returncode == 126
    assert moby.docker("ps", "-aq").stdout == ""


def test_50_mb_both_ways(moby: TestPlatform) -> None:
    data = os.urandom(1 << 20) * 50
    done = subprocess.run(
        ["docker", "run", "--rm", "-i", BUSYBOX, "cat"],
        input=data,
        capture_output=True,
        env=moby.env,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


def test_exec_attach_and_detach_on_terminals(moby: TestPlatform) -> None:
    moby.docker("run", "-dit", "--name", "term", BUSYBOX, "sh")
    try:
        with Terminal(["docker", "exec", "-it", "term", "sh"], env=moby.env, size=(37, 91)) as term:
            term.expect("#")
            time.sleep(0.3)
            term.send("stty size; exit 4\n")
            term.expect("37 91")
            assert term.wait() == 4
        with Terminal(["docker", "attach", "term"], env=moby.env) as term:
            term.send("echo si''x\r")
            term.expect("six")
            term.send("\x10\x11")
            term.wait()
        assert moby.docker("exec", "term", "sh", "-c", "exit 5", check=False).returncode == 5
        assert moby.docker("exec", "-i", "term", "wc", "-c", input="12345").stdout.strip() == "5"
        assert "six" in moby.docker("logs", "term").stdout
    finally:
        moby.docker("rm", "-f", "term")


def test_a_life_with_logs_events_and_stats(moby: TestPlatform) -> None:
    with subprocess.Popen(
        ["docker", "events", "--filter", "container=busy", "--format", "{{.Action}}"],
        env=moby.env,
        stdout=subprocess.PIPE,
        text=True,
    ) as events:
        try:
            time.sleep(0.5)
            moby.docker(
                "run", "-d", "--name", "busy", BUSYBOX, "sh", "-c", "echo one; echo two >&2; sleep 60"
            )
            deadline = time.monotonic() + 10
            while "two" not in (done := moby.docker("logs", "busy")).stderr and time.monotonic() < deadline:
                time.sleep(0.1)
            assert (done.stdout, done.stderr) == ("one\n", "two\n")
            assert moby.docker("logs", "--tail", "0", "busy").stdout == ""
            assert " / " in moby.docker("stats", "--no-stream", "busy").stdout
            assert "sleep 60" in moby.docker("top", "busy").stdout
            moby.docker("stop", "-t", "0", "busy")
            assert moby.docker("inspect", "-f", "{{.State.ExitCode}}", "busy").stdout == "137\n"
            moby.docker("start", "busy")
            moby.docker("rm", "-f", "busy")
            assert events.stdout is not None
            seen = []
            while "destroy" not in seen:
                seen.append(events.stdout.readline().strip())
        finally:
            events.kill()
    order = [word for word in seen if word in ("create", "start", "die", "stop", "destroy")]
    assert order == ["create", "start", "die", "stop", "start", "die", "destroy"]


def test_secrets_volumes_and_images(moby: TestPlatform, tmp_path: Path) -> None:
    moby.docker("secret", "create", "token", "-", input="s3cret")
    mount = "type=secret,src=token,dst=/run/secrets/token"
    assert (
        moby.docker("run", "--rm", "--mount", mount, BUSYBOX, "cat", "/run/secrets/token").stdout == "s3cret"
    )
    assert "s3cret" not in moby.docker("secret", "inspect", "token").stdout
    moby.docker("secret", "rm", "token")
    moby.docker("run", "--rm", "-v", "data:/d", BUSYBOX, "sh", "-c", "echo kept > /d/f")
    assert moby.docker("run", "--rm", "-v", "data:/d:ro", BUSYBOX, "cat", "/d/f").stdout == "kept\n"
    moby.docker("volume", "rm", "data")
    moby.docker("run", "--name", "made", BUSYBOX, "sh", "-c", "echo x > /new")
    assert "A /new\n" in moby.docker("diff", "made").stdout
    moby.docker("commit", "-c", 'CMD ["cat", "/new"]', "made", "made:1")
    moby.docker("rm", "made")
    assert moby.docker("run", "--rm", "made:1").stdout == "x\n"
    file = moby.base / "made.tar"
    moby.docker("save", "-o", str(file), "made:1")
    moby.docker("rmi", "made:1")
    assert moby.docker("load", "-i", str(file)).stdout == "Loaded image: made:1\n"
    moby.docker("rmi", "made:1")
    assert "Total reclaimed space" in moby.docker("system", "prune", "-f").stdout


@pytest.fixture
def client(moby: TestPlatform) -> Iterator[Any]:
    docker = pytest.importorskip("docker")
    made = docker.DockerClient(base_url=f"unix://{moby.socket}", version="auto", timeout=20)
    yield made
    made.close()


def test_docker_py(client: Any) -> None:
    assert client.containers.run(BUSYBOX, ["echo", "hi"], remove=True) == b"hi\n"
    box = client.containers.run(BUSYBOX, ["sh", "-c", "echo a; sleep 60"], detach=True)
    try:
        for _ in range(20):
            assert box.exec_run(["sh", "-c", "echo o; echo e >&2; exit 2"], demux=True) == (
                2,
                (b"o\n", b"e\n"),
            )
        box.reload()
        assert box.status == "running"
        assert box.stats(stream=False)["memory_stats"]["limit"] > 0
        box.kill("SIGKILL")
        assert box.wait()["StatusCode"] == 137
        assert box.logs() == b"a\n"
    finally:
        box.remove(force=True)
