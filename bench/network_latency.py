"""TCP between containers and through a published port: one connection, one round trip."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

from bench import peers
from bench.network_served import PLACES, Served, all_served, bound
from bench.timing import Comparison, alternate

CONNECTIONS = 300
BATCHES, TRIPS = 8, 200


def measure(runs: int) -> Iterator[Comparison]:
    runs = runs or 15
    if not peers.have("iperf3", "wrk"):
        print("  not measured, its image needs more programs: apt-get install iperf3 wrk")
        return
    with all_served() as served:
        for what, measurement in (
            ("TCP round trip of 32 bytes", _round_trip),
            ("TCP connection until the server hangs up", _connect),
        ):
            for place in PLACES:
                calls = {one.side.name: bound(measurement, one, place) for one in served}
                yield Comparison(f"{what}, {place}", alternate(calls, runs), unit="us")


def _connect(served: Served, where: str) -> float:
    """The median of many connections, each at once hung up by the server: a proxy on the way has
    connected long before anybody in the container knows."""

    def work(target: tuple[str, int]) -> float:
        taken = []
        for _ in range(CONNECTIONS):
            with socket.socket() as link:
                link.settimeout(5)
                began = time.perf_counter()
                link.connect(target)
                link.recv(1)
                taken.append(time.perf_counter() - began)
        return sorted(taken)[len(taken) // 2]

    return served.at(where, lambda: work(served.target(where, 81, served.close)))


def _round_trip(served: Served, where: str) -> float:
    """The best of a few batches over one connection to the HTTP server, which answers anything."""

    def work(target: tuple[str, int]) -> float:
        taken = []
        with socket.create_connection(target, timeout=5) as link:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in range(BATCHES):
                began = time.perf_counter()
                for _ in range(TRIPS):
                    link.send(bytes(32))
                    link.recv(4096)
                taken.append((time.perf_counter() - began) / TRIPS)
        return min(taken)

    return served.at(where, lambda: work(served.target(where, 80, served.http)))
