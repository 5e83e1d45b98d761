"""The platform's own command: the same words, the same output, the same exit statuses."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from support.api_words import Words
from support.terminal import Terminal


def test_run(words: Words) -> None:
    assert words.ok("run", "--rm", "busybox:1", "echo", "hello") == "hello\n"
    assert words.ok("run", "--rm", "-i", "busybox:1", "cat", input=b"typed\n") == "typed\n"
    done = words("run", "--rm", "busybox:1", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
    assert words("run", "--rm", "busybox:1", "sh", "-c", "kill -9 $$").returncode == 137
    done = words("run", "--rm", "busybox:1", "nonono")
    assert done.returncode == 127
    assert done.stderr == (
        b'error: exec: "nonono": executable file not found in $PATH: no such file or directory\n'
    )
    done = words("run", "--rm", "fresh:5", "echo", "x")
    assert (done.returncode, done.stdout) == (0, b"x\n")
    assert done.stderr.startswith(
        b"Unable to find image 'fresh:5' locally\n1: Pulling from library/busybox\n"
    )
    done = words("run", "--pull", "never", "none:1", "true")
    assert (done.returncode, done.stderr) == (125, b"error: no such image: none:1\n")
    done = words("run", "missing:1", "true")
    assert done.returncode == 125
    assert done.stderr.endswith(
        b"error: pull access denied for docker.io/library/missing:1, repository does not exist\n"
    )
    assert words("run", "--nonsense").returncode == 125
    done = words("run", "-m", "lots", "busybox:1")
    assert done.returncode == 125
    assert b"invalid size 'lots' for --memory - write a number with b, k, m or g" in done.stderr
    done = words("run", "-it", "busybox:1")
    assert b"the input device is not a TTY - leave out -t, or run it in a terminal" in done.stderr


def test_cidfile_and_env_file(words: Words, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("# comment\nA=1\nB=2\nHOME\n")
    out = words.ok(
        *(
            "run",
            "--rm",
            "--cidfile",
            str(tmp_path / "cid"),
            "--env-file",
            str(tmp_path / "env"),
            "-e",
            "B=3",
        ),
        *("busybox:1", "env"),
    )
    assert {"A=1", "B=3", f"HOME={words.host.home}"} <= set(out.split("\n"))
    assert len((tmp_path / "cid").read_text()) == 64
    done = words("run", "--cidfile", str(tmp_path / "cid"), "busybox:1", "true")
    assert (done.returncode, done.stderr.decode()) == (
        125,
        f"error: container id file {tmp_path}/cid found - it belongs to another container\n"
        "hint: remove it or name another file\n",
    )


def test_50_mb_through_run(words: Words) -> None:
    data = os.urandom(1 << 20) * 50
    done = words("run", "--rm", "-i", "busybox:1", "cat", input=data)
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


def test_a_life_in_words(words: Words) -> None:
    id = words.ok("run", "-d", "--name", "web", "busybox:1", "sh", "-c", "echo up; sleep 60").strip()
    lines = words.ok("ps").splitlines()
    titles = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
    assert re.split(r" {3,}", lines[0]) == titles
    assert lines[1].startswith(f'{id[:12]}   busybox:1   "sh -c \'echo up; sle…"   ')
    assert words.ok("ps", "-q", "--no-trunc") == id + "\n"
    assert words.ok("ps", "--format", "{{.Names}}|{{.State}}") == "web|running\n"
    assert json.loads(words.ok("ps", "--json"))[0]["Id"] == id
    assert json.loads(words.ok("ps", "--format", "json"))["Names"] == "web"
    assert words.ok("container", "ls", "--format", "table {{.ID}}\\t{{.Names}}").splitlines() == [
        "CONTAINER ID   NAMES",
        f"{id[:12]}   web",
    ]
    assert words.ok("logs", "web") == "up\n"
    assert words.ok("exec", "web", "echo", "in") == "in\n"
    assert (
        words.ok("exec", "-i", "-e", "X=9", "web", "sh", "-c", "echo $X; cat", input=b"12345") == "9\n12345"
    )
    assert words("exec", "web", "sh", "-c", "exit 5").returncode == 5
    assert words("exec", "web", "nonono").returncode == 127
    assert words.ok("inspect", "-f", "{{.State.Status}} {{json .Config.Cmd}}", "web") == (
        'running ["sh","-c","echo up; sleep 60"]\n'
    )
    assert "sleep" in words.ok("top", "web")
    assert "1MiB / 1GiB" in words.ok("stats", "--no-stream", "web")
    words.ok("pause", "web")
    words.ok("unpause", "web")
    words.ok("rename", "web", "site")
    done = words("update", "-m", "100m", "site")
    assert (done.stdout, done.stderr) == (b"site\n", b"warning: swap is off\n")
    assert words.ok("diff", "site") == "C /etc\nA /etc/new\n"
    words.ok("restart", "-t", "1", "site")
    done = words("rm", "site", "nobody")
    assert (done.returncode, done.stdout, done.stderr.decode()) == (
        1,
        b"",
        'error: cannot remove container "/site": container is running\n'
        "hint: stop the container before removing or force remove\n"
        "error: no such container: nobody\n",
    )
    assert words.ok("kill", "-s", "TERM", "site") == "site\n"
    assert words.ok("wait", "site") == "143\n"
    assert "Exited (143)" in words.ok("ps", "-a")
    assert words.ok("rm", "-f", "site", "nobody") == "site\nnobody\n"


def test_a_command_of_several_lines_stays_on_one(words: Words) -> None:
    words.ok("run", "-d", "--name", "web", "busybox:1", "sh", "-c", 'a\n"b\x1b[1m')
    assert '   "sh -c a\\n\\"b\\x1b[1m"   ' in words.ok("ps", "-a")
    words.ok("rm", "-f", "web")


def test_objects(words: Words) -> None:
    assert words.ok("images", "--format", "{{.Repository}}:{{.Tag}}", "busybox:1") == "busybox:1\n"
    assert words.ok("pull", "-q", "busybox:2") == "docker.io/library/busybox:2\n"
    words.ok("tag", "busybox:2", "localhost:5000/b:3")
    assert "digest: sha256:ddd" in words.ok("push", "localhost:5000/b:3")
    assert "ADD rootfs" in words.ok("history", "busybox:2")
    assert words.ok("load", input=b"tar" * 1000) == "Loaded image: loaded:1\n"
    assert words.host.store.taken == b"tar" * 1000
    target = words.host.home / "x.tar"
    words.ok("save", "-o", str(target), "loaded:1")
    assert target.stat().st_size == 64 * 16384
    words.ok("import", "-c", "CMD x", "-", "imp:1", input=b"t")
    assert words.ok("rmi", "imp:1").startswith("Untagged: imp:1\nDeleted: sha256:")
    id = words.ok("secret", "create", "-l", "a=b", "token", "-", input=b"\xffv").strip()
    assert words.host.run(words.host.secrets.reveal(id)) == b"\xffv"
    words.ok("secret", "update", "token", "-", input=b"new")
    assert words.host.run(words.host.secrets.reveal(id)) == b"new"
    assert words.ok("secret", "ls", "-q") == id + "\n"
    words.ok("secret", "rm", "token")
    assert words.ok("volume", "create", "data") == "data\n"
    assert words.ok("volume", "ls", "-q") == "data\n"
    words.ok("volume", "rm", "data")
    words.ok("network", "create", "--subnet", "10.0.0.0/24", "back")
    assert "back" in words.ok("network", "ls", "--format", "{{.Name}}")
    words.ok("network", "rm", "back")
    table = words.ok("system", "df").splitlines()
    assert table[0] == "TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE"
    assert table[1].startswith("Images  ")
    verbose = words.ok("system", "df", "-v")
    assert re.findall(r"^(.*) space usage:$", verbose, re.M) == ["Images", "Containers", "Local Volumes"]
    assert re.search(r"^REPOSITORY .* UNIQUE SIZE   CONTAINERS$", verbose, re.M)
    assert "Total reclaimed space: 0B" in words.ok("system", "prune", "-f")
    assert json.loads(words.ok("info", "--json"))["DefaultRuntime"] == "double"
    assert words.ok("version", "-f", "{{.Server.ApiVersion}}") == "1.47\n"
    assert words.ok("env") == f"export DOCKER_HOST=unix://{words.host.socket}\n"
    done = words("inspect", "nothing")
    assert (done.returncode, done.stdout, done.stderr) == (1, b"[]\n", b"error: no such object: nothing\n")


def test_a_terminal(words: Words) -> None:
    with Terminal(words.argv("run", "-it", "--rm", "busybox:1", "sh"), env=words.env, size=(41, 99)) as term:
        term.expect("#")
        term.send("stty size\n")
        term.expect("41 99")
        term.resize(30, 70)
        os.kill(term.pid, signal.SIGWINCH)
        for _ in range(100):
            if ("resize", 30, 70) in words.host.engine.calls:
                break
            time.sleep(0.02)
        term.send("stty size\n")
        term.expect("30 70")
        term.send("exit 3\n")
        assert term.wait() == 3
    with Terminal(words.argv("run", "-it", "--name", "tt", "busybox:1", "cat"), env=words.env) as term:
        term.send("echo\r")
        term.expect("echo\r\necho")
        term.send("\x10")
        term.send("\x11")
        assert term.wait() == 0
    assert words.host.engine.box("tt").container.state.status == "running"
    with Terminal(words.argv("exec", "-it", "tt", "sh"), env=words.env) as term:
        term.send("test -t 0 && echo is a t''ty\n")
        term.expect("is a tty")
        term.send("\x04")
        assert term.wait() == 0
    with Terminal(words.argv("attach", "--detach-keys", "ctrl-x", "tt"), env=words.env) as term:
        term.send("more\r")
        term.expect("more\r\nmore")
        term.send("\x18")
        assert term.wait() == 0
    words.ok("rm", "-f", "tt")


def test_signals_are_passed_on(words: Words) -> None:
    script = "trap 'exit 9' INT; echo go; while :; do sleep 0.1; done"
    argv = words.argv("run", "--rm", "busybox:1", "sh", "-c", script)
    with subprocess.Popen(argv, env=words.env, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"go\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 9


def test_the_third_signal_lets_go_of_a_container_that_ignores_them(words: Words) -> None:
    script = "trap 'echo no' INT; echo go; while :; do sleep 0.1; done"
    argv = words.argv("run", "--name", "deaf", "busybox:1", "sh", "-c", script)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    with subprocess.Popen(argv, env=words.env, **pipes) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for answer in (b"go\n", b"no\n", b"no\n"):
            assert process.stdout.readline() == answer
            process.send_signal(signal.SIGINT)
        assert process.wait(20) == 125
        assert process.stderr.read().decode() == (
            "error: the container has not ended after 3 signals - it is left running\n"
            "hint: `kill` ends it whatever it does with signals\n"
        )
    assert words.ok("rm", "-f", "deaf") == "deaf\n"


def test_a_reader_that_leaves_ends_the_command(words: Words) -> None:
    line = " ".join(words.argv("run", "--rm", "busybox:1", "yes")) + " | head -1"
    done = subprocess.run(["bash", "-c", line], env=words.env, capture_output=True, timeout=30)
    assert (done.stdout, done.stderr) == (b"y\n", b"")


def test_nobody_there(tmp_path: Path, words: Words) -> None:
    (tmp_path / "platform.yaml").write_text("name: 'shop'\n")
    env = {**words.env, "MOBY_PY_RUN": str(tmp_path)}

    def say(*args: str) -> tuple[int, str]:
        argv = [sys.executable, "-m", "moby_py", "-p", str(tmp_path), *args]
        done = subprocess.run(argv, env=env, capture_output=True, timeout=30)
        return done.returncode, done.stderr.decode()

    text = (
        f"error: the platform in {tmp_path} is not up - nothing answers at {tmp_path}/shop/docker.sock\n"
        f"hint: moby-py up -d {tmp_path}\n"
    )
    assert say("ps") == (1, text)
    assert say("rm", "a", "b") == (1, text)
    assert say("run", "x") == (125, text)
    (tmp_path / "platform.yaml").unlink()
    assert say("ps") == (
        1,
        f"error: {tmp_path} is not a platform directory - it has no platform.yaml with a name\n"
        f"hint: moby-py build blueprint.yaml -o {tmp_path}\n",
    )


def test_every_word_has_help_and_heavy_things_stay_away(words: Words) -> None:
    code = (
        "import sys\n"
        "from moby_py.cli.docker import COMMANDS\n"
        "from moby_py.cli.main import platform_group\n"
        "import click\n"
        "def walk(group, path):\n"
        "    ctx = click.Context(group, info_name=path)\n"
        "    for name in group.list_commands(ctx):\n"
        "        command = group.get_command(ctx, name)\n"
        "        text = command.get_help(click.Context(command, info_name=name, parent=ctx))\n"
        "        assert command.get_short_help_str(), name\n"
        "        if isinstance(command, click.Group):\n"
        "            walk(command, name)\n"
        "walk(platform_group('x', 'x'), 'x')\n"
        "heavy = {'aiohttp', 'asyncio', 'yaml', 'jsonschema', 'rich', 'http.client', 'email', 'sqlite3'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_stats_of_nothing_ends(words: Words) -> None:
    if ids := words.ok("ps", "-aq").split():
        words.ok("rm", "-f", *ids)
    assert words.ok("stats", "--no-stream").startswith("CONTAINER ID")
    assert words.ok("stats", "--json") == "[]\n"
