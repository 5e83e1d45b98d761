"""attach + detach of one container's leg: network/bridge, CNI's plugins and netavark.

Each contender has a host (a network namespace) of its own, so that nobody's rules slow down another;
the container is a namespace and nothing more, made before the clock runs and dropped after it stopped.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.network_legs import CNI, NETAVARK, Cni, Leg, Netavark, Ours
from bench.processes import Count
from bench.timing import Comparison, Series, alternate
from support.worlds import World, world

SETTLE = 0.03
"""Seconds after a namespace was dropped: the kernel takes it apart in the background, for everybody."""


def measure(runs: int) -> Iterator[Comparison]:
    runs = runs or 25
    for published in (False, True):
        what = "with one published port" if published else "no ports"
        with contextlib.ExitStack() as stack:
            timed = {name: _Timed(leg) for name, leg in _contenders(stack, published)}
            series = alternate(timed, runs, warmup=2)
            counts = _count(timed)
            aim = "CNI x 4 or more"
            yield Comparison(f"attach + detach of one container, {what}", series, aim=aim, note=counts)
            for half in ("attach", "detach"):
                halves = [Series(name, one.halves[half][2:]) for name, one in timed.items()]
                yield Comparison(f"{half} alone, {what}", halves)


def _contenders(stack: contextlib.ExitStack, published: bool) -> Iterator[tuple[str, Leg]]:
    def folder() -> Path:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-net-")))

    def host() -> World:
        return stack.enter_context(world(folder()))

    def add(leg: Leg) -> Leg:
        stack.callback(leg.close)
        return leg

    yield "network/bridge", add(Ours(host(), folder(), published))
    if (CNI / "bridge").exists():
        chain = "bridge+host-local" + ("+portmap" if published else "")
        yield f"CNI {chain}", add(Cni(host(), folder(), published))
        if not published:
            yield "CNI bridge+static, no NAT", add(Cni(host(), folder(), published, lean=True))
    else:
        print("  no CNI plugins: apt-get install containernetworking-plugins")
    if NETAVARK.exists():
        yield "netavark setup+teardown", add(Netavark(host(), folder(), published))
    else:
        print("  no netavark: apt-get install netavark")


class _Timed:
    """A fresh namespace, attach, detach: the seconds of both together, and of each in `halves`."""

    def __init__(self, leg: Leg) -> None:
        self._leg = leg
        self._number = 1
        self.halves: dict[str, list[float]] = {"attach": [], "detach": []}

    def __call__(self) -> float:
        self._number += 1
        number, name = self._number, f"c{self._number}"
        self._leg.world.make(name)
        try:
            return self._leg.world.inside("host", lambda: self._both(name, number))
        finally:
            self._leg.world.drop(name)
            time.sleep(SETTLE)

    def _both(self, name: str, number: int) -> float:
        began = time.perf_counter()
        self._leg.attach(name, number)
        between = time.perf_counter()
        self._leg.detach(name, number)
        ended = time.perf_counter()
        self.halves["attach"].append(between - began)
        self.halves["detach"].append(ended - between)
        return ended - began


def _count(timed: dict[str, _Timed]) -> str:
    """How many processes each starts, told in words; outside the runs that are timed."""
    counter = Count()
    try:
        told = [f"{name} {'?' if (n := counter.of(one)) is None else n}" for name, one in timed.items()]
    finally:
        counter.close()
    return "processes started: " + ", ".join(told)
