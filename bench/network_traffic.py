"""TCP between containers and through a published port: throughput and requests.

The server and the client are the same programs of one image on both sides (iperf3, wrk, perl); a client
on the host or on the remote machine is the host's own program. The sides take turns. What a gigabyte or
a request costs in processor time - of client, server and whatever daemon carries the bytes - holds also
on a machine that has other work, where speed does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from bench import network_cost as cost
from bench import peers
from bench.network_served import NEIGHBOUR, PLACES, Served, all_served, bound
from bench.network_sides import run
from bench.timing import Comparison, Series, alternate

SECONDS = "1"


def measure(runs: int) -> Iterator[Comparison]:
    runs = runs or 11
    missing = [name for name in ("iperf3", "wrk") if not peers.have(name)]
    if missing:
        print(f"  not measured, needs more programs: apt-get install {' '.join(missing)}")
        return
    with all_served() as served:
        aim = "no less than dockerd: x 1 or less"
        for what, unit, measurement, each, small in (
            ("TCP throughput", "Gbit/s", _throughput, "GB", "ms"),
            ("HTTP requests, 8 connections", "/s", _requests, "request", "us"),
        ):
            for place in PLACES:
                calls = {one.side.name: bound(measurement, one, place) for one in served}
                yield Comparison(f"{what}, {place}", alternate(calls, runs), unit=unit, aim=aim)
                spent = [Series(one.side.name, one.spent.pop(place)[1:]) for one in served]
                yield Comparison(f"{what}, {place}: processor time per {each}", spent, unit=small)


class _Meter:
    """Processor seconds of the server, the client, and the daemons in between."""

    def __init__(self, served: Served, where: str) -> None:
        self._served, self._where = served, where
        side = served.side
        self._groups = [side.pid("server"), *([side.pid("client")] if where == NEIGHBOUR else [])]
        self._pids = [] if where == NEIGHBOUR else side.pids()
        self._began = self._now()

    def stop(self, units: float) -> None:
        spent = self._now() - self._began
        self._served.spent.setdefault(self._where, []).append(spent / units)

    def _now(self) -> float:
        inside = sum(cost.of_group(pid) for pid in self._groups)
        if self._where == NEIGHBOUR:
            return inside
        return inside + cost.of_processes(self._pids) + cost.of_children()


def _throughput(served: Served, where: str) -> float:
    address, port = served.target(where, 5201, served.iperf)
    argv = served.client(where, "iperf3", "-c", address, "-p", str(port), "-t", SECONDS, "-J")
    meter = _Meter(served, where)
    total = json.loads(run(argv, env=served.side.env or None))["end"]["sum_received"]
    meter.stop(total["bytes"] / 1e9)
    return float(total["bits_per_second"])


def _requests(served: Served, where: str) -> float:
    address, port = served.target(where, 80, served.http)
    argv = served.client(where, "wrk", "-t", "1", "-c", "8", "-d", SECONDS, f"http://{address}:{port}/")
    meter = _Meter(served, where)
    said = run(argv, env=served.side.env or None)
    line = next(line for line in said.splitlines() if line.startswith("Requests/sec"))
    meter.stop(float(next(line for line in said.splitlines() if " requests in " in line).split()[0]))
    if "Socket errors" in said or "Non-2xx" in said:
        raise SystemExit(f"{served.side.name}, {where}: {said}")
    return float(line.split()[1])
