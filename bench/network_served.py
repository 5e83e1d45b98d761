"""The server and the client of one side, which the traffic benchmarks talk to and from four places."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bench.network_sides import IMAGE, Side, sides
from moby_components.common.netns import run_in
from support.lab import HOST4

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

    def at(self, where: str, work: Callable[[], float]) -> float:
        """What `work` measures in the client's network."""
        if where == NEIGHBOUR:
            return run_in(f"/proc/{self.side.pid('client')}/ns/net", work)
        return self.side.lab.inside(work, "remote" if where == REMOTE else "host")


NEIGHBOUR, HOST, LOOPBACK, REMOTE = (
    "container to container",
    "host to published port",
    "host's 127.0.0.1 to published port",
    "remote machine to published port",
)
PLACES = (NEIGHBOUR, HOST, LOOPBACK, REMOTE)


@contextlib.contextmanager
def all_served() -> Iterator[list[Served]]:
    """Ours first, then dockerd where it is installed."""
    with sides("iperf3", "wrk", "perl", "busybox", "sh") as both:
        yield [_serve(side) for side in both]


def bound(call: Callable[[Served, str], float], one: Served, place: str) -> Callable[[], float]:
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
