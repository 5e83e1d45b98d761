"""Statistics against known work: `docker stats` and the platform's own `stats` print what was done."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.archive import BUSYBOX, busybox_archive
from support.platform import TestPlatform, platform

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("docker") is None, reason="needs the docker command line"),
    pytest.mark.skipif(shutil.which("skopeo") is None, reason="needs skopeo (apt-get install skopeo)"),
    pytest.mark.skipif(shutil.which("crun") is None, reason="needs crun (apt-get install crun conmon)"),
]
UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
BLUEPRINT = """blueprint: 1
name: stats
components:
  runtime: crun
  image_store: overlay
  network: [bridge, host, none]
"""


@pytest.fixture(scope="module")
def moby(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestPlatform]:
    archive = busybox_archive(tmp_path_factory.mktemp("archive"))
    with platform(BLUEPRINT) as running:
        running.docker("load", "-i", str(archive))
        yield running


@pytest.fixture(autouse=True)
def nothing_left(moby: TestPlatform) -> Iterator[None]:
    yield
    ids = moby.docker("ps", "-aq").stdout.split()
    if ids:
        moby.docker("rm", "-f", *ids)


def stats(moby: TestPlatform, name: str, *, own: bool = False) -> dict[str, Any]:
    """One line of either client, as numbers: cpu, mem, in, out, read, written, pids."""
    call = moby if own else moby.docker
    line = call("stats", "--no-stream", "--format", "json", name).stdout.strip().splitlines()[-1]
    row = json.loads(line)

    def pair(text: str) -> tuple[float, float]:
        first, second = (re.fullmatch(r"([\d.]+)(\w+)", word) for word in text.split(" / "))
        assert first and second
        return float(first[1]) * UNITS[first[2]], float(second[1]) * UNITS[second[2]]

    return {
        "cpu": float(row["CPUPerc"].rstrip("%")),
        "mem": pair(row["MemUsage"])[0],
        "net": pair(row["NetIO"]),
        "io": pair(row["BlockIO"]),
        "pids": int(row["PIDs"]),
    }


def api(moby: TestPlatform, name: str) -> dict[str, Any]:
    import urllib.parse

    path = f"http://d/v1.41/containers/{urllib.parse.quote(name)}/stats?stream=0&one-shot=1"
    done = subprocess.run(
        ["curl", "-sf", "--unix-socket", str(moby.socket), path], capture_output=True, check=True, text=True
    )
    return dict(json.loads(done.stdout))


def test_a_busy_loop_and_memory(moby: TestPlatform) -> None:
    loop = "while :; do :; done"
    moby.docker("run", "-d", "--name", "busy", "--network", "none", BUSYBOX, "sh", "-c", loop)
    moby.docker("run", "-d", "--name", "idle", "--network", "none", BUSYBOX, "sleep", "60")
    for own in (False, True):
        deadline = time.monotonic() + 60  # others use this machine too: a quarter will do
        while stats(moby, "busy", own=own)["cpu"] <= 25:
            assert time.monotonic() < deadline
        found = stats(moby, "idle", own=own)
        assert found["cpu"] < 5
        assert (found["pids"], found["net"]) == (1, (0, 0))
        assert found["mem"] < 20 << 20
    moby.docker("exec", "idle", "dd", "if=/dev/zero", "of=/dev/shm/fill", "bs=1M", "count=50")
    for own in (False, True):
        assert 50 << 20 <= stats(moby, "idle", own=own)["mem"] < 80 << 20


def test_block_io_on_a_disk(moby: TestPlatform) -> None:
    """10 MB written past the cache to a real file system on a block device, and read back. The limit,
    which nothing reaches, makes new kernels count (cgroup v1, since Linux 6.10)."""
    image, place = moby.base / "disk.img", moby.base / "disk"
    place.mkdir()
    subprocess.run(["truncate", "-s", "64M", image], check=True)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    try:
        device = next(
            line.split()[0] for line in Path("/proc/mounts").read_text().splitlines() if str(place) in line
        )
        moby.docker(
            *("run", "-d", "--name", "disk", "-v", f"{place}:/d", "--network", "none"),
            *("--device-write-bps", f"{device}:8gb", "--device-read-bps", f"{device}:8gb"),
            *(BUSYBOX, "sleep", "60"),
        )
        before = stats(moby, "disk")["io"]
        moby.docker("exec", "disk", "dd", "if=/dev/zero", "of=/d/x", "bs=1M", "count=10", "oflag=direct")
        moby.docker("exec", "disk", "dd", "if=/d/x", "of=/dev/null", "bs=1M", "iflag=direct")
        for own in (False, True):
            read, written = stats(moby, "disk", own=own)["io"]
            assert 10e6 <= written - before[1] < 13e6
            assert 10e6 <= read - before[0] < 13e6
        rows = api(moby, "disk")["blkio_stats"]["io_service_bytes_recursive"]
        assert {row["op"].lower() for row in rows} >= {"read", "write"}
    finally:
        moby.docker("rm", "-f", "disk")
        subprocess.run(["umount", place], check=True)


def test_network_io_of_each_kind(moby: TestPlatform) -> None:
    moby.docker("network", "create", "traffic")
    try:
        moby.docker("run", "-d", "--name", "sink", "--network", "traffic", BUSYBOX,
                    "sh", "-c", "sleep 60 | nc -l -p 9000 > /dev/null")  # fmt: skip
        address = moby.docker(
            "inspect", "-f", '{{(index .NetworkSettings.Networks "traffic").IPAddress}}', "sink"
        ).stdout.strip()
        moby.docker("run", "-d", "--name", "shares", "--network", "container:sink", BUSYBOX, "sleep", "60")
        moby.docker("run", "-d", "--name", "hosts", "--network", "host", BUSYBOX, "sleep", "60")
        moby.docker("run", "--rm", "--network", "traffic", BUSYBOX,
                    "sh", "-c", f"dd if=/dev/zero bs=1M count=5 | nc {address} 9000")  # fmt: skip
        deadline = time.monotonic() + 5
        while stats(moby, "sink")["net"][0] < 5e6 and time.monotonic() < deadline:
            pass
        for name in ("sink", "shares"):
            for own in (False, True):
                received, sent = stats(moby, name, own=own)["net"]
                assert 5e6 < received < 7e6
                assert 0 < sent < received
        found = api(moby, "sink")["networks"]
        assert set(found) == {"eth0"}
        assert set(found["eth0"]) == {
            f"{way}_{what}" for way in ("rx", "tx") for what in ("bytes", "packets", "errors", "dropped")
        }
        assert found["eth0"]["rx_packets"] > 10
        assert "networks" not in api(moby, "hosts")
        assert stats(moby, "hosts")["net"] == (0, 0)
        # A second network is a second interface.
        moby.docker("network", "create", "second")
        moby.docker("network", "connect", "second", "sink")
        assert set(api(moby, "sink")["networks"]) == {"eth0", "eth1"}
    finally:
        moby.docker("rm", "-f", "sink", "shares", "hosts", check=False)
        moby.docker("network", "rm", "traffic", "second", check=False)


def test_of_one_that_does_not_run(moby: TestPlatform) -> None:
    moby.docker("create", "--name", "never", BUSYBOX, "true")
    found = api(moby, "never")
    assert "networks" not in found
    assert found["read"] == "0001-01-01T00:00:00Z"
    assert Path(f"/sys/fs/cgroup/memory/moby-py/{moby.name}").exists() or found["memory_stats"] == {}
