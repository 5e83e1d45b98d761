"""docker cp, export, import, diff, commit and rename with the stock client on whole platforms."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from support.archive import BUSYBOX, busybox_archive
from support.platform import TestPlatform, platform

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("docker") is None, reason="needs the docker command line"),
    pytest.mark.skipif(shutil.which("skopeo") is None, reason="needs skopeo (apt-get install skopeo)"),
]
RUNTIMES = ("bubblewrap", "crun", "runc", "runsc")
BLUEPRINTS = {"bubblewrap": "quickstart.yaml"}


@pytest.fixture(scope="module", params=RUNTIMES)
def moby(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestPlatform]:
    if request.param != "bubblewrap" and shutil.which(request.param) is None:
        pytest.skip(f"needs {request.param} (apt-get install {request.param})")
    archive = busybox_archive(tmp_path_factory.mktemp("archive"))
    with platform(BLUEPRINTS.get(request.param, f"{request.param}.yaml")) as running:
        running.docker("load", "-i", str(archive))
        yield running


@pytest.fixture
def box(moby: TestPlatform) -> Iterator[str]:
    """A running container with a volume, a bind and a tmpfs."""
    bind = moby.base / "bind"
    bind.mkdir(exist_ok=True)
    moby.docker(
        *("run", "-d", "--name", "box", "-v", "files:/vol", "-v", f"{bind}:/bound", "--tmpfs", "/scratch"),
        *(BUSYBOX, "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.2; done"),
    )
    yield "box"
    moby.docker("rm", "-f", "box")
    moby.docker("volume", "rm", "-f", "files")
    shutil.rmtree(bind)


@pytest.fixture
def tree(moby: TestPlatform, tmp_path: Path) -> Path:
    """A local folder with what a folder may hold. gVisor lets no named pipe of the host in."""
    top = tmp_path / "tree"
    (top / "sub/deep").mkdir(parents=True)
    (top / "file").write_text("content\n")
    (top / "sub/exec").write_bytes(b"#!/bin/sh\n")
    (top / "sub/exec").chmod(0o755)
    (top / "sub/deep/odd name\n").write_bytes(b"\0odd")
    (top / "link").symlink_to("sub/exec")
    (top / "absolute").symlink_to("/etc/passwd")
    os.link(top / "file", top / "hard")
    if not gvisor(moby):
        os.mkfifo(top / "pipe")
    os.utime(top / "file", (1_000_000_000, 1_000_000_000))
    (top / "sub").chmod(0o750)
    os.chown(top / "sub/exec", 1000, 1000)
    return top


def gvisor(moby: TestPlatform) -> bool:
    return "runsc" in moby.docker("info", "-f", "{{.DefaultRuntime}}").stdout


def shape(top: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(top.rglob("*")):
        seen = path.lstat()
        content: object = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        target = os.readlink(path) if path.is_symlink() else ""
        found[str(path.relative_to(top))] = (oct(seen.st_mode), int(seen.st_mtime), content, target)
    return found


def ask(moby: TestPlatform, container: str, command: str) -> str:
    return moby.docker("exec", container, "sh", "-c", command).stdout


def test_a_tree_goes_in_and_comes_back_the_same(
    moby: TestPlatform, box: str, tree: Path, tmp_path: Path
) -> None:
    moby.docker("cp", str(tree), f"{box}:/srv")  # /srv is not there: it becomes the tree
    assert ask(
        moby, box, "cat /srv/file; cd /srv; readlink link; readlink absolute; stat -c %a:%u sub/exec sub"
    ) == ("content\nsub/exec\n/etc/passwd\n755:1000\n750:0\n")
    assert ask(moby, box, "stat -c '%i %h' /srv/file") == ask(moby, box, "stat -c '%i %h' /srv/hard")
    moby.docker("cp", str(tree), f"{box}:/tmp")  # /tmp is there: the tree goes in it
    assert ask(moby, box, "ls /tmp/tree").split() == sorted(os.listdir(tree))
    moby.docker("cp", f"{tree}/.", f"{box}:/home")  # the content alone
    assert ask(moby, box, "ls /home; stat -c %a /home").split() == [*sorted(os.listdir(tree)), "755"]
    moby.docker("cp", f"{box}:/srv", str(tmp_path / "back"))
    assert shape(tmp_path / "back") == shape(tree)
    (tmp_path / "into").mkdir()
    moby.docker("cp", f"{box}:/srv/.", str(tmp_path / "into"))
    assert shape(tmp_path / "into") == shape(tree)


@pytest.mark.parametrize("state", ["created", "running", "paused", "exited"])
def test_every_state_and_every_mount(moby: TestPlatform, tmp_path: Path, state: str) -> None:
    (tmp_path / "f").write_text(f"{state}\n")
    (moby.base / "b").mkdir()
    command = ["sh", "-c", "cat /vol/f /b/f /etc/f; sleep 0"] if state != "running" else ["sleep", "100"]
    command = ["sleep", "100"] if state == "paused" else command
    made = moby.docker(
        *("create", "--name", "box", "-v", "vvol:/vol", "-v", f"{moby.base}/b:/b:rw", BUSYBOX, *command)
    )
    try:
        if state != "created":
            moby.docker("start", "box")
        if state == "paused":
            moby.docker("pause", "box")
        if state == "exited":
            moby.docker("wait", "box")
        for place in ("/vol/f", "/b/f", "/etc/f"):
            moby.docker("cp", str(tmp_path / "f"), f"box:{place}")
            moby.docker("cp", f"box:{place}", str(tmp_path / "g"))
            assert (tmp_path / "g").read_text() == f"{state}\n", place
        assert (moby.base / "b/f").read_text() == f"{state}\n"
        assert moby.docker("run", "--rm", "-v", "vvol:/v", BUSYBOX, "cat", "/v/f").stdout == f"{state}\n"
        assert moby.docker("inspect", "-f", "{{.State.Status}}", "box").stdout == f"{state}\n"
        if state in ("created", "exited"):
            assert moby.docker("start", "-a", "box").stdout.endswith(f"{state}\n" * 3)
        assert made.stdout.strip()
    finally:
        moby.docker("rm", "-f", "box")
        moby.docker("volume", "rm", "vvol")
        shutil.rmtree(moby.base / "b")
    assert [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if "/view" in line] == []


def test_refusals_in_dockers_words(moby: TestPlatform, box: str, tree: Path) -> None:
    def refused(*args: str) -> str:
        done = moby.docker("cp", *args, check=False)
        assert done.returncode == 1
        # Lines with a time are the client's own trouble with a body that nobody reads.
        said = [line for line in done.stderr.splitlines() if not line.startswith('time="')]
        return "\n".join(said).removeprefix("Error response from daemon: ")

    file = str(tree / "file")
    assert refused(f"{box}:/nope", "-") == "Could not find the file /nope in container box"
    assert refused(file, f"{box}:/nope/x") == "Could not find the file /nope in container box"
    assert refused("gone:/x", "-") == "No such container: gone"
    assert refused(file, "gone:/") == "no such directory"  # the client's words
    assert refused(file, f"{box}:/nope/") == "no such directory"
    assert refused(str(tree), f"{box}:/etc/passwd") == "cannot copy directory"
    assert refused(f"{box}:/etc/passwd/", "-") == (
        "cannot copy /etc/passwd/ in container box - not a directory"
    )
    ask(moby, box, "mkdir -p /d/file")
    assert 'cannot overwrite directory "/d/file" with non-directory "/d"' in refused(file, f"{box}:/d")
    ask(moby, box, "rm -r /d; mkdir /d; echo > /d/tree")
    assert 'cannot overwrite non-directory "/d/tree" with directory "/d"' in refused(str(tree), f"{box}:/d")


def test_read_only_root_and_mounts(moby: TestPlatform, tree: Path) -> None:
    moby.docker(
        *(
            "run",
            "-d",
            "--read-only",
            "--name",
            "ro",
            "-v",
            "wvol:/w",
            "-v",
            "rvol:/r:ro",
            BUSYBOX,
            "sleep",
            "50",
        )
    )
    try:
        for place, text in (("/tmp", "container rootfs"), ("/r", "mounted volume")):
            done = moby.docker("cp", str(tree / "file"), f"ro:{place}", check=False)
            assert done.stderr == f"Error response from daemon: {text} is marked read-only\n"
        moby.docker("cp", str(tree / "file"), "ro:/w")
        assert ask(moby, "ro", "cat /w/file; ls /tmp /r") == "content\n/r:\n\n/tmp:\n"
        moby.docker("stop", "-t", "0", "ro")
        done = moby.docker("cp", str(tree / "file"), "ro:/tmp", check=False)
        assert done.stderr == "Error response from daemon: container rootfs is marked read-only\n"
        assert moby.docker("cp", "ro:/w/file", "-").stdout.startswith("file\0")
    finally:
        moby.docker("rm", "-f", "ro")
        moby.docker("volume", "rm", "wvol", "rvol")


def test_parts_images_and_sources_that_are_gone(moby: TestPlatform, tree: Path) -> None:
    """A part of a volume that is swapped for a link leads nowhere; an image is read-only; what a bind
    lacks is named."""
    gone = moby.base / "gone"
    gone.mkdir()
    mounts = (
        f"type=volume,src=parts,dst=/part,volume-subpath=sub;type=bind,src={gone},dst=/gone;"
        f"type=image,src={BUSYBOX},dst=/img"
    )
    moby.docker("run", "--rm", "-v", "parts:/p", BUSYBOX, "mkdir", "/p/sub")
    words = (word for mount in mounts.split(";") for word in ("--mount", mount))
    moby("create", "--name", "box", *words, BUSYBOX, "sleep", "60")
    try:
        for start in (False, True):
            if start:
                moby.docker("start", "box")
            moby.docker("cp", str(tree / "file"), "box:/part")
            assert moby.docker("cp", "box:/part/file", "-").stdout.startswith("file\0")
            assert moby.docker("cp", "box:/img/bin/cat", "-").stdout.startswith("cat\0")
            done = moby.docker("cp", str(tree / "file"), "box:/img", check=False)
            assert done.stderr == "Error response from daemon: mounted volume is marked read-only\n"
        assert moby.docker("run", "--rm", "-v", "parts:/p", BUSYBOX, "ls", "/p/sub").stdout == "file\n"
        moby.docker("rm", "-f", "box")
        moby("create", "--name", "box", *("--mount", mounts.partition(";")[0]), BUSYBOX, "true")
        moby.docker("run", "--rm", "-v", "parts:/p", BUSYBOX, "sh", "-c", "rm -r /p/sub; ln -s /etc /p/sub")
        assert moby.docker("cp", "box:/part/shadow", "-", check=False).returncode == 1
        moby.docker("rm", "-f", "box")
        moby("create", "--name", "box", "--mount", mounts.split(";")[1], BUSYBOX, "true")
        gone.rmdir()
        done = moby.docker("cp", "box:/etc/passwd", "-", check=False)
        assert done.stderr == (
            "Error response from daemon: cannot reach the files of container box - "
            f"{gone}: no such file or directory\n"
        )
    finally:
        moby.docker("rm", "-f", "box", check=False)
        moby.docker("volume", "rm", "parts")


def test_links(moby: TestPlatform, box: str, tree: Path, tmp_path: Path) -> None:
    ask(
        moby, box, "mkdir /real; echo r > /real/f; ln -s /real /to-dir; ln -s /real/f /to-file; ln -s /x /bad"
    )
    moby.docker("cp", f"{box}:/to-file", str(tmp_path / "asis"))
    assert os.readlink(tmp_path / "asis") == "/real/f"
    moby.docker("cp", "-L", f"{box}:/to-file", str(tmp_path / "followed"))
    assert (tmp_path / "followed").read_text() == "r\n"
    moby.docker("cp", "-L", f"{box}:/to-dir", str(tmp_path / "dir"))
    assert (tmp_path / "dir/f").read_text() == "r\n"
    moby.docker("cp", f"{box}:/to-dir/.", str(tmp_path / "content"))
    assert (tmp_path / "content/f").read_text() == "r\n"
    moby.docker("cp", str(tree / "file"), f"{box}:/to-dir")  # a link to a folder is that folder
    moby.docker("cp", str(tree / "file"), f"{box}:/to-file")  # and one to a file that file
    assert ask(moby, box, "cat /real/file /real/f; readlink /to-dir; readlink /to-file") == (
        "content\ncontent\n/real\n/real/f\n"
    )
    moby.docker("cp", "-L", str(tree / "link"), f"{box}:/tmp")
    moby.docker("cp", str(tree / "link"), f"{box}:/home")
    assert ask(moby, box, "head -1 /tmp/link; readlink /home/link") == "#!/bin/sh\nsub/exec\n"


def test_streams_and_owners(moby: TestPlatform, box: str, tmp_path: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, uid in (("one", 1234), ("two", 0)):
            info = tarfile.TarInfo(name)
            info.uid, info.size = uid, 3
            tar.addfile(info, io.BytesIO(b"abc"))
    moby.docker("cp", "-", f"{box}:/tmp", input=data.getvalue())
    assert ask(moby, box, "stat -c %n:%u /tmp/one /tmp/two") == "/tmp/one:1234\n/tmp/two:0\n"
    moby.docker("create", "--name", "own", "-u", "user", BUSYBOX, "stat", "-c", "%U:%u", "/home/one")
    try:
        moby.docker("cp", "-a", "-", "own:/home", input=data.getvalue())
        assert moby.docker("start", "-a", "own").stdout == "user:1000\n"
    finally:
        moby.docker("rm", "own")
    env = moby.env
    out = subprocess.run(["docker", "cp", f"{box}:/tmp", "-"], env=env, capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(out.stdout)) as tar:
        assert {"tmp", "tmp/one", "tmp/two"} <= set(tar.getnames())


def test_the_stat_header(moby: TestPlatform, box: str) -> None:
    import base64

    made = "mknod p p" if not gvisor(moby) else "true"
    ask(moby, box, f"cd /home; {made}; ln -s ../../etc l; touch s; chmod 6755 s; mkdir t; chmod 1777 t")

    def stat(path: str, method: str = "HEAD") -> dict[str, object]:
        with socket.socket(socket.AF_UNIX) as wire:
            wire.connect(str(moby.socket))
            wire.sendall(
                f"{method} /v1.41/containers/{box}/archive?path={quote(path)} HTTP/1.1\r\n"
                "Host: d\r\nConnection: close\r\n\r\n".encode()
            )
            head = b""
            while b"\r\n\r\n" not in head:
                head += wire.recv(4096)
        value = next(line for line in head.split(b"\r\n") if line.startswith(b"X-Docker-Container-Path-Stat"))
        return dict(json.loads(base64.b64decode(value.partition(b": ")[2])))

    if not gvisor(moby):
        assert stat("/home/p")["mode"] == 1 << 25 | 0o644
    assert stat("/home/s")["mode"] == 1 << 23 | 1 << 22 | 0o755
    assert stat("/home/t") | {"mtime": "", "size": 0} == {
        "name": "t", "size": 0, "mode": 1 << 31 | 1 << 20 | 0o777, "mtime": "", "linkTarget": ""
    }  # fmt: skip
    link = stat("/home/l")
    assert (link["mode"], link["linkTarget"], link["name"]) == (1 << 27 | 0o777, "/etc", "l")
    assert stat("/home/l/", "GET")["mode"] == 1 << 31 | 0o755
    names = [stat(path)["name"] for path in ("/", "/etc/.", "/etc/", "etc/../etc/passwd")]
    assert names == ["/", ".", "etc", "passwd"]
    assert stat("/etc/passwd", "GET") == stat("/etc/passwd")


def test_export_and_import(moby: TestPlatform, box: str, tmp_path: Path) -> None:
    ask(moby, box, "echo mine > /etc/mine; echo no > /vol/no; ln /etc/mine /etc/twin; rm /etc/shadow")
    out = tmp_path / "flat.tar"
    moby.docker("export", "-o", str(out), box)
    with tarfile.open(out) as tar:
        names = set(tar.getnames())
        assert {"etc/mine", "etc/twin", "bin/busybox", "vol", "bound"} <= names
        assert not names & {"vol/no", "etc/shadow", "proc/self", "dev/pts", "dev/null"}
        assert tar.getmember("etc/twin").islnk() or tar.getmember("etc/mine").islnk()
    moby.docker("import", "-c", 'CMD ["cat", "/etc/mine"]', str(out), "flat:1")
    assert moby.docker("run", "--rm", "flat:1").stdout == "mine\n"
    moby.docker("rmi", "flat:1")
    moby.docker("stop", "-t", "0", box)
    again = subprocess.run(["docker", "export", box], env=moby.env, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(again)) as tar:
        assert set(tar.getnames()) >= {"etc/mine", "bin/busybox"}


def test_a_racing_container_leads_nowhere(moby: TestPlatform, tree: Path) -> None:
    """It swaps a folder for a link to the host's own /tmp place all the time, while files go in and out."""
    outside = moby.base / "outside"
    outside.mkdir()
    (outside / "secret").write_text("of the host")
    swap = (
        f"mkdir -p /a {outside}; while :; do mv /a /a.d; ln -s {outside} /a; rm /a; "
        f"ln -s ../../../../../../..{outside} /a; rm /a; mv /a.d /a; done"
    )
    moby.docker("run", "-d", "--name", "racer", BUSYBOX, "sh", "-c", swap)
    try:
        deadline = time.monotonic() + 4
        count = 0
        while time.monotonic() < deadline:
            moby.docker("cp", str(tree / "file"), "racer:/a/", check=False)
            read = moby.docker("cp", "racer:/a/secret", "-", check=False)
            assert "of the host" not in read.stdout
            count += 1
        assert count > 3
        assert [path.name for path in outside.iterdir()] == ["secret"]
    finally:
        moby.docker("rm", "-f", "racer")
        shutil.rmtree(outside)


def test_a_stalled_client_keeps_no_container(moby: TestPlatform, tmp_path: Path) -> None:
    moby.docker(
        "run", "-d", "--name", "big", BUSYBOX, "sh", "-c", "dd if=/dev/zero of=/big bs=1M count=64; sleep 99"
    )
    try:
        deadline = time.monotonic() + 10
        while ask(moby, "big", "stat -c %s /big 2>/dev/null || true").strip() != str(64 << 20):
            assert time.monotonic() < deadline
        moby.docker("stop", "-t", "0", "big")
        with socket.socket(socket.AF_UNIX) as wire:
            wire.connect(str(moby.socket))
            wire.sendall(b"GET /v1.41/containers/big/archive?path=/big HTTP/1.1\r\nHost: d\r\n\r\n")
            assert wire.recv(12) == b"HTTP/1.1 200"
            moby.docker("start", "big", timeout=30)  # waits for the copy, then cuts it short
            assert moby.docker("inspect", "-f", "{{.State.Running}}", "big").stdout == "true\n"
            got = 0
            while piece := wire.recv(1 << 16):
                got += len(piece)
            assert got < 64 << 20
    finally:
        moby.docker("rm", "-f", "big")


def test_copies_beside_each_other(moby: TestPlatform, tree: Path, tmp_path: Path) -> None:
    moby.docker("create", "--name", "still", BUSYBOX, "true")
    failures: list[str] = []

    def copy(number: int) -> None:
        done = moby.docker("cp", str(tree), f"still:/t{number}", check=False)
        done2 = moby.docker("cp", f"still:/t{number}", str(tmp_path / f"o{number}"), check=False)
        failures.extend(d.stderr for d in (done, done2) if d.returncode)

    threads = [threading.Thread(target=copy, args=(n,)) for n in range(4)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert all(shape(tmp_path / f"o{n}") == shape(tree) for n in range(4))
    finally:
        moby.docker("rm", "still")
