"""Names looked up at the embedded resolvers, from a container's namespace: one after another, and many
at once. The client is a few lines of Python on a UDP socket, the same for both."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable, Iterator

from bench import network_cost as cost
from bench.network_sides import IMAGE, Side, sides
from bench.timing import Comparison, Series, alternate
from moby_components.common.netns import run_in

SERVER = ("127.0.0.11", 53)
SECONDS = 0.7
WINDOW = 16
A, PTR = 1, 12


def measure(runs: int) -> Iterator[Comparison]:
    runs = runs or 11
    with sides("busybox") as both:
        for side in both:
            for name in ("asker", "neighbour"):
                side.start("--name", name, IMAGE, "busybox", "sleep", "3600")
        asked: dict[str, Callable[[Side], tuple[bytes, int]]] = {
            "name lookups (A), one after another": lambda _: (_query("neighbour", A), 1),
            f"name lookups (A), {WINDOW} at once": lambda _: (_query("neighbour", A), WINDOW),
            "reverse lookups (PTR), one after another": lambda side: (_query(_reverse(side), PTR), 1),
        }
        for title, question in asked.items():
            calls = {side.name: _Asking(side, *question(side)) for side in both}
            aim = "no less than dockerd: x 1 or less"
            yield Comparison(title, alternate(calls, runs), unit="/s", aim=aim)
            spent = [Series(name, call.spent[1:]) for name, call in calls.items()]
            yield Comparison(f"{title}: processor time of the daemons each", spent, unit="us")


class _Asking:
    """Answers per second to one question, and in `spent` the processor seconds that one cost."""

    def __init__(self, side: Side, query: bytes, window: int) -> None:
        self._query, self._window = query, window
        self._path = f"/proc/{side.pid('asker')}/ns/net"
        self._pids = side.pids()
        self.spent: list[float] = []

    def __call__(self) -> float:
        before = cost.of_processes(self._pids)
        rate = run_in(self._path, lambda: _rate(self._query, self._window))
        self.spent.append((cost.of_processes(self._pids) - before) / (rate * SECONDS))
        return rate


def _reverse(side: Side) -> str:
    return ".".join(reversed(side.address("neighbour").split("."))) + ".in-addr.arpa"


def _query(name: str, kind: int) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!5H", 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1)


def _rate(query: bytes, window: int) -> float:
    """Answers a second with `window` questions under way; each answer has to hold a record."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.connect(SERVER)
        number, answered = 0, 0
        waiting: set[int] = set()
        began = time.perf_counter()
        while (now := time.perf_counter() - began) < SECONDS or waiting:
            while len(waiting) < window and now < SECONDS:
                number = (number + 1) % 65536
                waiting.add(number)
                link.send(number.to_bytes(2, "big") + query)
            if not select.select([link], [], [], 2)[0]:
                raise SystemExit(f"{len(waiting)} of {answered} questions were not answered in 2 s")
            answer = link.recv(4096)
            if answer[3] & 15 or not int.from_bytes(answer[6:8], "big"):
                raise SystemExit(f"not answered but refused: {answer!r}")
            waiting.discard(int.from_bytes(answer[:2], "big"))
            answered += 1
        return answered / (time.perf_counter() - began)
