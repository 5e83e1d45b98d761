"""What an idle platform and each running container cost, as proportional set size."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench import peers
from bench.containers import BLUEPRINT, IMAGE
from bench.timing import Comparison, Series
from support.archive import busybox_archive
from support.platform import TestPlatform, platform, processes

COUNT = 10


def measure(runs: int) -> Iterator[Comparison]:
    del runs  # memory is read once, over COUNT containers
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        archive = busybox_archive(Path(folder), IMAGE)
        idle, each = [], []
        for runtime in ("crun", "bubblewrap"):
            with platform(BLUEPRINT, sets=[f"components.runtime={runtime}"]) as ours:
                ours("load", "-i", str(archive))
                before, after = _grow(ours)
            idle.append(Series(f"moby-py daemon ({runtime})", [before]))
            each.append(Series(f"moby-py, {runtime}", [(after - before) / COUNT]))
        with peers.dockerd() as docker:
            if docker:
                base = str(Path(docker[2].removeprefix("unix://")).parent)
                subprocess.run([*docker, "load", "-q", "-i", str(archive)], check=True, capture_output=True)
                before = peers.rss(_docker_pids(base))
                ids = [
                    subprocess.run(
                        [*docker, "run", "-d", "--network", "none", IMAGE, "sleep", "600"],
                        check=True,
                        capture_output=True,
                        text=True,
                    ).stdout.strip()
                    for _ in range(COUNT)
                ]
                time.sleep(0.5)
                after = peers.rss(_docker_pids(base))
                subprocess.run([*docker, "rm", "-f", *ids], check=True, capture_output=True)
                idle.append(Series("dockerd + containerd", [before]))
                each.append(Series("docker: shim and daemons", [(after - before) / COUNT]))
    yield Comparison("idle daemon, PSS", idle, unit="MB", aim="under half of dockerd + containerd")
    yield Comparison(
        "each running container, PSS of monitor and daemon growth",
        each,
        unit="MB",
        aim="1 MB or less",
        note=f"over {COUNT} containers of `sleep`; the container's own process is not counted",
    )


def _grow(ours: TestPlatform) -> tuple[float, float]:
    time.sleep(0.5)
    before = peers.rss([ours.daemon_pid])
    ids = [ours("run", "-d", IMAGE, "sleep", "600").stdout.strip() for _ in range(COUNT)]
    time.sleep(0.5)
    monitors = [
        pid for pid, text in processes(str(ours.base)) if "sleep 600" not in text.split(" -- ")[-1][:20]
    ]
    after = peers.rss(sorted({ours.daemon_pid, *monitors}))
    ours("rm", "-f", *ids)
    return before, after


def _docker_pids(base: str) -> list[int]:
    return [pid for pid, text in processes(base) if "docker" in text or "containerd" in text]
