"""The peers, each with directories of its own, cleaned up afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path


def have(*programs: str) -> bool:
    return all(shutil.which(p, path=os.environ["PATH"] + ":/usr/sbin:/sbin") for p in programs)


@contextlib.contextmanager
def disk(size: str = "8G") -> Iterator[Path]:
    """A fresh ext4 file system of one run's own, on a loop device.

    ext4 takes seconds to find inodes that were not deleted a moment ago, so that on a shared one each
    run would pay for the cleaning up of the run before it.
    """
    base = Path(tempfile.mkdtemp(prefix="mpb-", dir="/tmp"))
    image = Path(f"/var/tmp/{base.name}.img")
    try:
        subprocess.run(["truncate", "-s", size, str(image)], check=True)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(base)], check=True)
        base.chmod(0o755)
        yield base
    finally:
        subprocess.run(["umount", "-l", str(base)], check=False, capture_output=True)
        base.rmdir()
        image.unlink(missing_ok=True)


@contextlib.contextmanager
def podman(runtime: str = "", folder: str | Path = "/var/tmp") -> Iterator[list[str]]:
    """A podman command line with its own storage on the same disk; overlay, cgroupfs, as root."""
    base = Path(tempfile.mkdtemp(prefix="bench-podman-", dir=folder))
    argv = [
        "podman",
        "--root",
        f"{base}/root",
        "--runroot",
        f"{base}/run",
        "--storage-driver",
        "overlay",
        "--cgroup-manager",
        "cgroupfs",
        *(["--runtime", runtime] if runtime else []),
    ]
    try:
        yield argv
    finally:
        subprocess.run([*argv, "rm", "-fa"], capture_output=True, check=False)
        subprocess.run([*argv, "system", "prune", "-af"], capture_output=True, check=False)
        for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
            if line.split()[4].startswith(str(base)):
                subprocess.run(["umount", "-l", line.split()[4]], check=False)
        shutil.rmtree(base, ignore_errors=True)


@contextlib.contextmanager
def dockerd(
    insecure: str = "", folder: str | Path = "/var/tmp", *, network: bool = False, prefix: Sequence[str] = ()
) -> Iterator[list[str] | None]:
    """A dockerd of the host's own (apt-get install docker.io) on a private socket, or None without one.

    With `network` it makes bridges and rules: give a `prefix` that puts it in a network namespace.
    """
    if not have("dockerd", "docker"):
        yield None
        return
    base = Path(tempfile.mkdtemp(prefix="bench-dockerd-", dir=folder))
    socket = f"unix://{base}/docker.sock"
    argv = [
        *prefix,
        "dockerd",
        "--data-root",
        f"{base}/data",
        "--exec-root",
        f"{base}/exec",
        "--pidfile",
        f"{base}/pid",
        "--host",
        socket,
        *([] if network else ["--bridge", "none", "--iptables=false", "--ip6tables=false"]),
    ]
    if insecure:
        argv += ["--insecure-registry", insecure]
    with (base / "log").open("wb") as log:
        daemon = subprocess.Popen(argv, stdout=log, stderr=log)
    client = ["docker", "-H", socket]
    try:
        for _ in range(150):
            if subprocess.run([*client, "version"], capture_output=True, check=False).returncode == 0:
                break
            time.sleep(0.1)
        else:
            print(f"  dockerd did not come up: {(base / 'log').read_text()[-400:]}")
            yield None
            return
        yield client
    finally:
        daemon.terminate()
        daemon.wait(20)
        for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
            if line.split()[4].startswith(str(base)):
                subprocess.run(["umount", "-l", line.split()[4]], check=False)
        shutil.rmtree(base, ignore_errors=True)


def rss(pids: Sequence[int]) -> float:
    """Proportional set size of processes, in bytes: what they really cost together."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return float(total)
