"""The daemon dies in the middle of a copy: no mount stays, and everything works again after `up`."""

from __future__ import annotations

import shutil
import socket
import time
from pathlib import Path

import pytest

from support.archive import BUSYBOX, busybox_archive
from support.platform import platform

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("skopeo") is None, reason="needs skopeo (apt-get install skopeo)"),
]


@pytest.mark.parametrize("how", ["killed", "down"])
def test_in_the_middle_of_copies(tmp_path: Path, how: str) -> None:
    archive = busybox_archive(tmp_path)
    with platform("quickstart.yaml") as moby:
        moby("load", "-q", "-i", str(archive))
        script = "dd if=/dev/zero of=/big bs=1M count=64 2> /dev/null; echo made; trap 'exit 0' TERM; "
        script += "while :; do sleep 0.1; done"
        moby("run", "-d", "--name", "live", "-v", "vol:/vol", BUSYBOX, "sh", "-c", script)
        moby("create", "--name", "still", "-v", "vol:/vol", BUSYBOX, "cat", "/vol/f")
        deadline = time.monotonic() + 20
        while "made" not in moby("logs", "live").stdout:
            assert time.monotonic() < deadline
        wires = []
        for request in (
            "GET /v1.41/containers/live/archive?path=/big",
            "GET /v1.41/containers/live/export",
            "GET /v1.41/containers/still/archive?path=/",
            "PUT /v1.41/containers/live/archive?path=/vol",
        ):
            wire = socket.socket(socket.AF_UNIX)
            wire.connect(str(moby.socket))
            wire.sendall(f"{request} HTTP/1.1\r\nHost: d\r\nContent-Length: 9000\r\n\r\n".encode())
            if request.startswith("GET"):
                assert wire.recv(12) == b"HTTP/1.1 200"
            wires.append(wire)
        started = time.monotonic()
        if how == "killed":
            moby.kill_daemon()
        else:
            moby.down()
            assert time.monotonic() - started < 8  # no copy is waited for
        for wire in wires:
            wire.close()
        assert [p for p in Path("/proc/self/mountinfo").read_text().splitlines() if "/view" in p] == []
        moby.up()
        (tmp_path / "f").write_text("again\n")
        if how == "down":
            moby("start", "live")
        for name in ("live", "still"):
            moby("cp", str(tmp_path / "f"), f"{name}:/vol/f")
            moby("cp", str(tmp_path / "f"), f"{name}:/etc/f")
        assert moby("start", "-a", "still").stdout == "again\n"
        assert moby("exec", "live", "cat", "/etc/f").stdout == "again\n"
        moby("rm", "-f", "live", "still")
        moby("volume", "rm", "vol")
