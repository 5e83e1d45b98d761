"""docker diff, commit and rename with the stock client on a real overlay store."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest

from support.archive import BUSYBOX, busybox_archive
from support.platform import TestPlatform, platform

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("docker") is None, reason="needs the docker command line"),
    pytest.mark.skipif(shutil.which("skopeo") is None, reason="needs skopeo (apt-get install skopeo)"),
    pytest.mark.skipif(shutil.which("crun") is None, reason="needs crun (apt-get install crun conmon)"),
]


@pytest.fixture(scope="module", params=["overlay", "copy"])
def moby(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestPlatform]:
    archive = busybox_archive(tmp_path_factory.mktemp("archive"))
    sets = ["components.image_store={use: overlay, with: {mode: copy}}"] if request.param == "copy" else []
    with platform("crun.yaml", sets=sets) as running:
        running.docker("load", "-i", str(archive))
        yield running


SETUP = "mkdir -p /tree/old/deep /gone/below /kind /same; echo 1 > /tree/old/a; echo 2 > /tree/old/deep/b; \
echo 3 > /gone/below/c; echo 4 > /kind/d; echo 5 > /file; echo 6 > /mode; echo 7 > /same/e; ln -s x /link"
CHANGES = (
    "rm -r /tree/old; mkdir /tree/old; echo n > /tree/old/new; rm -r /gone; rm -r /kind; echo k > /kind; \
rm /file; mkdir /file; chmod 600 /mode; cat /same/e > /dev/null; rm /link; ln -s y /link; echo 8 > /added; \
mkdir -p /way/to; touch /way/to/it; echo t > /tmp/t; rm /tmp/t; echo v > /vol/v; echo s > /dev/shm/s"
)
EXPECTED = {
    ("C", "/tree"), ("C", "/tree/old"), ("A", "/tree/old/new"), ("D", "/tree/old/a"), ("D", "/tree/old/deep"),
    ("D", "/gone"), ("C", "/kind"), ("C", "/file"), ("C", "/mode"), ("C", "/link"), ("A", "/added"),
    ("A", "/way"), ("A", "/way/to"), ("A", "/way/to/it"),
}  # fmt: skip


def test_diff_of_known_changes(moby: TestPlatform) -> None:
    moby.docker("run", "--name", "base", BUSYBOX, "sh", "-c", SETUP)
    moby.docker("commit", "base", "base:1")
    moby.docker("rm", "base")
    script = f"{CHANGES}; echo ready; trap 'exit 0' TERM; while :; do sleep 0.1; done"
    try:
        moby.docker("run", "-d", "--name", "box", "-v", "vol:/vol", "base:1", "sh", "-c", script)
        deadline = time.monotonic() + 10
        while "ready" not in moby.docker("logs", "box").stdout:
            assert time.monotonic() < deadline

        def diff() -> set[tuple[str, ...]]:
            found = {tuple(line.split(" ", 1)) for line in moby.docker("diff", "box").stdout.splitlines()}
            return found - {("C", "/tmp")}

        assert diff() == EXPECTED
        moby.docker("stop", "box")
        assert diff() == EXPECTED
        assert moby("diff", "box").stdout == moby.docker("diff", "box").stdout
        # What cp puts in is a change, whether the container runs or not.
        moby.docker("cp", "-", "box:/same", input=subprocess.run(
            ["tar", "c", "-C", "/etc", "hostname"], capture_output=True, check=True).stdout)  # fmt: skip
        assert diff() == EXPECTED | {("C", "/same"), ("A", "/same/hostname")}
    finally:
        moby.docker("rm", "-f", "box")
        moby.docker("rmi", "base:1")
        moby.docker("volume", "rm", "-f", "vol")


def test_commit_of_a_running_container(moby: TestPlatform) -> None:
    writing = "i=0; while :; do i=$((i+1)); echo $i > /a; echo $i > /b; done"
    moby.docker(
        "run", "-d", "--name", "box", "-e", "KEPT=yes", "-v", "vol:/vol", BUSYBOX, "sh", "-c", writing
    )
    try:
        moby.docker(
            "exec", "box", "sh", "-c", "echo no > /vol/not-this; ln -s /a /l; chmod 4755 /bin/busybox"
        )
        look = "ls /a; readlink /l; echo $KEPT$MORE$WORD; stat -c %a /bin/busybox; ls /vol"
        made = moby.docker(
            *("commit", "-a", "Some One <a@b>", "-m", "said", "-c", "ENV MORE=too WORD='two words'"),
            *("-c", f"CMD {json.dumps(['sh', '-c', look])}"),
            *("-c", "LABEL a=b", "-c", "EXPOSE 80", "-c", "WORKDIR /home", "box", "done:1"),
        )
        image = json.loads(moby.docker("image", "inspect", "done:1").stdout)[0]
        assert made.stdout.strip() == image["Id"]
        assert (image["Author"], image["Comment"]) == ("Some One <a@b>", "said")
        assert image["Config"]["Labels"]["a"] == "b"
        assert image["Config"]["WorkingDir"] == "/home"
        assert image["Config"]["ExposedPorts"] == {"80/tcp": {}}
        assert moby.docker("inspect", "-f", "{{.State.Status}}", "box").stdout == "running\n"
        assert moby.docker("run", "--rm", "done:1").stdout == "/a\n/a\nyestootwo words\n4755\n"
        assert moby.docker("history", "--format", "{{.Comment}}", "done:1").stdout.startswith("said\n")
        moby.docker("commit", "--pause=false", "box", "done:2")
        moby.docker("pause", "box")
        moby.docker("commit", "box", "done:3")
        assert moby.docker("inspect", "-f", "{{.State.Status}}", "box").stdout == "paused\n"
        done = moby.docker("commit", "-c", "FROM x", "box", check=False)
        assert done.stderr == "Error response from daemon: FROM is not a valid change command\n"
    finally:
        moby.docker("rm", "-f", "box")
        moby.docker("rmi", "done:1", "done:2", "done:3", check=False)
        moby.docker("volume", "rm", "-f", "vol")


def test_a_commit_stands_still(moby: TestPlatform) -> None:
    """The process is frozen meanwhile: two files written one after the other agree within one step."""
    writing = "i=0; while :; do i=$((i+1)); echo $i > /a; echo $i > /b; done"
    moby.docker("run", "-d", "--name", "box", BUSYBOX, "sh", "-c", writing)
    try:
        for number in range(4):
            moby.docker("commit", "box", f"still:{number}")
            found = moby.docker("run", "--rm", f"still:{number}", "cat", "/a", "/b").stdout.split()
            values = [int(word) for word in found]
            assert len(values) < 2 or 0 <= values[0] - values[1] <= 1
    finally:
        moby.docker("rm", "-f", "box")
        moby.docker("rmi", *(f"still:{n}" for n in range(4)), check=False)


def test_rename(moby: TestPlatform) -> None:
    since = str(int(time.time()))
    id = moby.docker("run", "-d", "--name", "first", BUSYBOX, "sleep", "60").stdout.strip()
    moby.docker("create", "--name", "other", BUSYBOX, "true")
    try:
        moby.docker("rename", "first", "second")
        assert moby.docker("inspect", "-f", "{{.Id}} {{.Name}}", "second").stdout == f"{id} /second\n"
        assert moby.docker("exec", "second", "echo", "there").stdout == "there\n"
        done = moby.docker("inspect", "first", check=False)
        assert done.stderr.rstrip().lower().endswith("no such object: first")
        done = moby.docker("rename", "second", "other", check=False)
        other = moby.docker("inspect", "-f", "{{.Id}}", "other").stdout.strip()
        assert done.stderr.splitlines()[0] == (
            'Error response from daemon: Conflict. The container name "/other" is already in use by '
            f'container "{other}". You have to remove (or rename) that container to be able to reuse that '
            "name."
        )
        done = moby.docker("rename", "second", "no/good", check=False)
        assert "Invalid container name (no/good)" in done.stderr
        done = moby.docker("rename", "second", "second", check=False)
        assert "Renaming a container with the same name as its current name" in done.stderr
        moby.docker("rename", id[:12], "third")
        moby.docker("rename", "other", "second")  # a name that is free again
        seen = moby.docker(
            *("events", "--since", since, "--until", str(int(time.time()) + 1), "--filter", "event=rename"),
            *("--format", "{{.Actor.Attributes.oldName}} {{.Actor.Attributes.name}}"),
        ).stdout
        assert seen == "/first second\n/second third\n/other second\n"
        assert moby.docker("ps", "-a", "--format", "{{.Names}}").stdout.split() == ["second", "third"]
        assert moby.docker("cp", "third:/etc/passwd", "-").stdout.startswith("passwd")
    finally:
        moby.docker("rm", "-f", id, check=False)
        moby.docker("rm", "-f", "other", "second", check=False)
