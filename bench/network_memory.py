"""What networks cost in memory: an idle platform with one, and each container with a published port."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bench import peers
from bench.network_sides import IMAGE, Side, sides
from bench.timing import Comparison, Series

COUNT = 20
SETTLE = 1.0


def measure(runs: int) -> Iterator[Comparison]:
    del runs  # memory is read once, over COUNT containers
    idle, full, each = [], [], []
    with sides("busybox") as both:
        for side in both:
            before = _cost(side)
            for _ in range(COUNT):
                side.start("-p", "80", IMAGE, "busybox", "sleep", "3600")
            after = _cost(side)
            idle.append(Series(side.name, [before]))
            full.append(Series(side.name, [after]))
            each.append(Series(side.name, [(after - before) / COUNT]))
    note = "ours: daemon, resolver, monitors; dockerd: containerd, shims, docker-proxy; PSS"
    yield Comparison("idle with one bridge network", idle, unit="MB", note=note)
    yield Comparison(f"with {COUNT} containers, one published port each", full, unit="MB")
    yield Comparison("each container with a published port", each, unit="MB")


def _cost(side: Side) -> float:
    time.sleep(SETTLE)
    return peers.rss(side.pids())
