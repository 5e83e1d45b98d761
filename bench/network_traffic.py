"""TCP between containers and through a published port: throughput, requests, connections.

The server and the client are the same programs of one image on both sides (iperf3, wrk, perl); a client
on the host or on the remote machine is the host's own program. The sides take turns. What a gigabyte or
a request costs in processor time - of client, server and whatever daemon carries the bytes - holds also
on a machine that has other work, where speed does not.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bench import network_cost as cost
from bench import peers
from bench.network_sides import IMAGE, Side, run, sides
from bench.timing import Comparison, Series, alternate
from support.lab import HOST4

SECONDS = "1"
CONNECTIONS = 300
_ANSWER = r'"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"'
_LISTEN = (
    'socket(S,2,1,6)||die;setsockopt(S,1,2,pack("l",1));bind(S,pack("SnNx8",2,{port},0))||die;listen(S,999);'
)
HTTP = (
    _LISTEN.format(port=80)
    + f'$SIG{{CHLD}}="IGNORE";$r={_ANSWER};while(accept(C,S)){{if(!fork){{setsockopt(C,6,1,pack("l",1));'
    + "while(sysread(C,$b,4096)){syswrite(C,$r)}exit}close C}"
)
HANG_UP = _LISTEN.format(port=81) + "while(accept(C,S)){close C}"


@dataclass
class Served:
    """The two containers of one side: `server` with ports 5201 (iperf3), 80 (HTTP), 81 published."""

    side: Side
    address: str
    iperf: int
    http: int
    close: int
    spent: dict[str, list[float]] = field(default_factory=dict)
    """Processor seconds per unit of work, by kind and place."""

    def client(self, where: str, *argv: str) -> list[str]:
        """A command as the client runs it: in the neighbour container, on the host, far away."""
        if where == NEIGHBOUR:
            return [*self.side.command, "exec", "client", *argv]
        name = self.side.lab.remote if where == REMOTE else self.side.lab.host
        return ["nsenter", f"--net=/run/netns/{name}", *argv]

    def target(self, where: str, inside: int, published: int) -> tuple[str, int]:
        if where == NEIGHBOUR:
            return self.address, inside
        return ("127.0.0.1" if where == LOOPBACK else HOST4), published


NEIGHBOUR, HOST, LOOPBACK, REMOTE = (
    "container to container",
    "host to published port",
    "host's 127.0.0.1 to published port",
    "remote machine to published port",
)
PLACES = (NEIGHBOUR, HOST, LOOPBACK, REMOTE)


def measure(runs: int) -> Iterator[Comparison]:
    runs = runs or 11
    missing = [name for name in ("iperf3", "wrk") if not peers.have(name)]
    if missing:
        print(f"  not measured, needs more programs: apt-get install {' '.join(missing)}")
        return
    with sides("iperf3", "wrk", "perl", "busybox", "sh") as both:
        served = [_serve(side) for side in both]
        aim = "no less than dockerd: x 1 or less"
        for what, unit, measurement, each, small in (
            ("TCP throughput", "Gbit/s", _throughput, "GB", "ms"),
            ("HTTP requests, 8 connections", "/s", _requests, "request", "us"),
        ):
            for place in PLACES:
                calls = {one.side.name: _bound(measurement, one, place) for one in served}
                yield Comparison(f"{what}, {place}", alternate(calls, runs), unit=unit, aim=aim)
                spent = [Series(one.side.name, one.spent.pop(place)[1:]) for one in served]
                yield Comparison(f"{what}, {place}: processor time per {each}", spent, unit=small)
        for place in PLACES:
            calls = {one.side.name: _bound(_connect, one, place) for one in served}
            yield Comparison(f"TCP connect, {place}", alternate(calls, runs), unit="us")


def _bound(call: Callable[[Served, str], float], one: Served, place: str) -> Callable[[], float]:
    return lambda: call(one, place)


def _serve(side: Side) -> Served:
    programs = f"perl -e '{HTTP}' & perl -e '{HANG_UP}' & exec iperf3 -s"
    ports = ("-p", "5201", "-p", "80", "-p", "81")
    side.start("--name", "server", "--tmpfs", "/tmp", *ports, IMAGE, "sh", "-c", programs)
    side.start("--name", "client", "--tmpfs", "/tmp", IMAGE, "busybox", "sleep", "3600")
    shown = side.inspect("server")["NetworkSettings"]["Ports"]
    numbers = [int(shown[f"{inside}/tcp"][0]["HostPort"]) for inside in (5201, 80, 81)]
    served = Served(side, side.address("server"), numbers[0], numbers[1], numbers[2])
    for inside, published in zip((5201, 80, 81), numbers, strict=True):
        _wait(served, inside, published)
    return served


def _wait(served: Served, inside: int, published: int) -> None:
    end = time.monotonic() + 20
    while True:
        try:
            return served.side.lab.inside(
                lambda: socket.create_connection((served.address, inside), timeout=1).close()
            )
        except OSError:
            if time.monotonic() > end:
                raise SystemExit(f"{served.side.name}: no server at port {inside} ({published})") from None
            time.sleep(0.1)


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


def _connect(served: Served, where: str) -> float:
    """The median of many connects, each at once hung up by the server."""
    from moby_components.common.netns import run_in

    address, port = served.target(where, 81, served.close)

    def work() -> float:
        taken = []
        for _ in range(CONNECTIONS):
            with socket.socket() as link:
                link.settimeout(5)
                began = time.perf_counter()
                link.connect((address, port))
                taken.append(time.perf_counter() - began)
                link.recv(1)
        return sorted(taken)[len(taken) // 2]

    if where == NEIGHBOUR:
        return run_in(f"/proc/{served.side.pid('client')}/ns/net", work)
    return served.side.lab.inside(work, "remote" if where == REMOTE else "host")
