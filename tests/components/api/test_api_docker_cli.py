"""The real docker command line against this API."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time

import pytest

from support.api_serving import Host
from support.terminal import Terminal

pytestmark = pytest.mark.skipif(shutil.which("docker") is None, reason="needs the docker command line")


def ok(host: Host, *args: str, input: bytes | None = None) -> str:
    done = host.docker(*args, input=input)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def test_version_and_info(host: Host) -> None:
    assert "moby-py platform testing" in ok(host, "version")
    info = json.loads(ok(host, "info", "--format", "{{json .}}"))
    assert info["DefaultRuntime"] == "double"
    assert "ServerErrors" not in info


def test_run_gives_output_and_exit_code(host: Host) -> None:
    assert ok(host, "run", "--rm", "busybox:1", "echo", "hello") == "hello\n"
    done = host.docker("run", "--rm", "busybox:1", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
    done = host.docker("run", "--rm", "busybox:1", "sh", "-c", "kill -9 $$")
    assert done.returncode == 137
    done = host.docker("run", "--rm", "busybox:1", "nonono")
    assert done.returncode == 127


def test_run_with_stdin_and_a_missing_image(host: Host) -> None:
    assert ok(host, "run", "--rm", "-i", "fresh:2", "cat", input=b"typed\n") == "typed\n"
    done = host.docker("run", "--rm", "missing:1", "true")
    assert done.returncode == 125
    assert b"pull access denied for docker.io/library/missing:1, repository does not exist" in done.stderr


def test_50_mb_through_docker_run(host: Host) -> None:
    data = os.urandom(1 << 20) * 50
    done = host.docker("run", "--rm", "-i", "busybox:1", "cat", input=data, timeout=60)
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


def test_a_life_in_words(host: Host) -> None:
    id = ok(
        host, "run", "-d", "--name", "web", "-l", "a=b", "busybox:1", "sh", "-c", "echo up; sleep 60"
    ).strip()
    assert len(id) == 64
    shown = ok(host, "ps", "--format", "{{.ID}} {{.Image}} {{.Names}} {{.State}}")
    assert shown == f"{id[:12]} busybox:1 web running\n"
    assert "Up Less than a second" in ok(host, "ps") or "Up 1 second" in ok(host, "ps")
    assert ok(host, "logs", "web") == "up\n"
    assert ok(host, "exec", "web", "echo", "in") == "in\n"
    assert ok(host, "exec", "-i", "web", "wc", "-c", input=b"12345") == "5\n"
    assert host.docker("exec", "web", "sh", "-c", "exit 5").returncode == 5
    assert host.docker("exec", "web", "nonono").returncode == 127
    assert ok(host, "exec", "-d", "web", "true") == ""
    assert ok(host, "inspect", "-f", "{{.State.Status}} {{.Config.Labels.a}}", "web") == "running b\n"
    assert "sleep" in ok(host, "top", "web")
    assert "1MiB / 1GiB" in ok(host, "stats", "--no-stream", "web")
    ok(host, "pause", "web")
    assert "(Paused)" in ok(host, "ps")
    ok(host, "unpause", "web")
    ok(host, "rename", "web", "site")
    ok(host, "update", "--memory", "100m", "--memory-swap", "-1", "site")
    assert ok(host, "diff", "site") == "C /etc\nA /etc/new\n"
    ok(host, "restart", "-t", "1", "site")
    assert ok(host, "kill", "-s", "TERM", "site") == "site\n"
    assert ok(host, "wait", "site") == "143\n"
    assert "Exited (143)" in ok(host, "ps", "-a")
    assert ok(host, "rm", "site") == "site\n"
    done = host.docker("rm", "site")
    assert (done.returncode, done.stderr) == (1, b"Error response from daemon: No such container: site\n")
    assert ok(host, "rm", "-f", "site") == ""  # force: what is not there is no mistake


def test_images_and_other_objects(host: Host) -> None:
    assert "busybox      1" in ok(host, "images")
    assert ok(host, "pull", "-q", "busybox:2") == "docker.io/library/busybox:2\n"
    ok(host, "tag", "busybox:2", "localhost:5000/b:3")
    assert "ADD rootfs" in ok(host, "history", "busybox:2")
    assert "digest: sha256:ddd" in ok(host, "push", "localhost:5000/b:3")
    assert ok(host, "load", input=b"tar") == "Loaded image: loaded:1\n"
    assert len(host.docker("save", "loaded:1").stdout) == 64 * 16384
    assert ok(host, "import", "-c", "CMD x", "-", "imp:1", input=b"t").startswith("sha256:")
    ok(host, "rmi", "imp:1")
    assert ok(host, "secret", "create", "token", "-", input=b"v").strip() != ""
    assert "token" in ok(host, "secret", "ls")
    assert '"Name": "token"' in ok(host, "secret", "inspect", "token")
    ok(host, "secret", "rm", "token")
    ok(host, "volume", "create", "data")
    assert ok(host, "volume", "ls", "-q") == "data\n"
    ok(host, "volume", "rm", "data")
    assert "none" in ok(host, "network", "ls")
    ok(host, "network", "create", "-d", "x", "back")
    ok(host, "network", "rm", "back")
    assert "TYPE" in ok(host, "system", "df")
    assert "Total reclaimed space" in ok(host, "system", "prune", "-f")
    done = host.docker("inspect", "nothing")
    assert (done.returncode, done.stderr) == (1, b"Error: No such object: nothing\n")
    assert "not a swarm manager" in host.docker("node", "ls").stderr.decode()


def test_a_secret_mount_reaches_the_create_body(host: Host) -> None:
    ok(
        host,
        "create",
        "--name",
        "sec",
        "--mount",
        "type=secret,src=db,dst=/run/secrets/db",
        "busybox:1",
        "true",
    )
    mounts = host.engine.box("sec").container.intent["HostConfig"]["Mounts"]
    assert mounts == [{"Type": "secret", "Source": "db", "Target": "/run/secrets/db"}]
    ok(host, "rm", "sec")


def test_a_terminal(host: Host) -> None:
    with Terminal(["docker", "run", "-it", "--rm", "busybox:1", "sh"], env=host.env, size=(41, 99)) as term:
        term.expect("#")
        for _ in range(100):
            if ("resize", 41, 99) in host.engine.calls:
                break
            time.sleep(0.02)
        term.send("stty size; echo re''ady\n")
        term.expect("41 99")
        term.expect("ready")
        term.send("exit 3\n")
        assert term.wait() == 3
    id = ok(host, "run", "-dit", "--name", "tt", "busybox:1", "cat").strip()
    with Terminal(["docker", "exec", "-it", "tt", "sh"], env=host.env) as term:
        term.send("test -t 0 && echo is a t''ty\n")
        term.expect("is a tty")
        term.send("exit 4\n")
        assert term.wait() == 4
    with Terminal(["docker", "attach", "tt"], env=host.env) as term:
        term.send("echo\r")
        term.expect("echo\r\necho")
        term.send("\x10\x11")
        term.wait()
    assert host.engine.box(id).container.state.status == "running"
    ok(host, "rm", "-f", "tt")


def test_signals_are_passed_on(host: Host) -> None:
    argv = [
        "docker",
        "run",
        "--rm",
        "busybox:1",
        "sh",
        "-c",
        "trap 'exit 9' INT; echo go; while :; do sleep 0.1; done",
    ]
    with subprocess.Popen(argv, env=host.env, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"go\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 9


def test_events_and_following_logs(host: Host) -> None:
    argv = ["docker", "events", "--filter", "type=container", "--format", "{{.Action}}"]
    with subprocess.Popen(argv, env=host.env, stdout=subprocess.PIPE) as process:
        try:
            time.sleep(0.5)
            ok(host, "run", "--rm", "busybox:1", "true")
            assert process.stdout is not None
            seen = [process.stdout.readline().strip() for _ in range(4)]
            assert seen == [b"create", b"start", b"die", b"destroy"]
        finally:
            process.kill()
    ok(host, "run", "-d", "--name", "talk", "busybox:1", "sh", "-c", "echo 1; sleep 0.5; echo 2")
    assert ok(host, "logs", "-f", "talk") == "1\n2\n"
    ok(host, "rm", "-f", "talk")
