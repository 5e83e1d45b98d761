"""TCP at 127.0.0.11: several queries on a connection, and clients who dawdle, babble or come in droves."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import dns.message
import pytest

from moby_components.common.dns import Client, Named
from moby_components.common.dns.process.door import IDLE
from support.resolving import Lab, ask, lab, query, values

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def world() -> Iterator[Lab]:
    with lab() as made:
        made.upstream()
        yield made


@pytest.fixture
def box(world: Lab, request: pytest.FixtureRequest) -> Path:
    name = f"b{abs(hash(request.node.name)) % 100000}"
    box = world.box(name)
    world.tell(Named("n1", "c-web", ("web",), ("10.9.0.2",)), Client(f"c-{name}", str(box), ("n1",)))
    return box


def connect(world: Lab, box: Path) -> socket.socket:
    def work() -> socket.socket:
        return socket.create_connection(("127.0.0.11", 53), timeout=10)

    return world.inside(box, work)


def framed(name: str) -> bytes:
    wire = query(name).to_wire()
    return len(wire).to_bytes(2, "big") + wire


def read(sock: socket.socket) -> dns.message.Message:
    size = int.from_bytes(sock.recv(2, socket.MSG_WAITALL), "big")
    return dns.message.from_wire(sock.recv(size, socket.MSG_WAITALL))


def closed(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def test_queries_follow_each_other_in_one_piece_or_in_bytes(world: Lab, box: Path) -> None:
    with connect(world, box) as sock:
        sock.sendall(framed("web") + framed("x.example") + framed("web"))
        assert [values(read(sock)) for _ in range(3)] == [["10.9.0.2"], ["192.0.2.1"], ["10.9.0.2"]]
        for byte in framed("web"):
            sock.sendall(bytes((byte,)))
        assert values(read(sock)) == ["10.9.0.2"]
        sock.sendall(framed("web"))
        sock.shutdown(socket.SHUT_WR)
        assert values(read(sock)) == ["10.9.0.2"]
        assert closed(sock)


def test_a_thousand_queries_without_reading_are_all_answered(world: Lab, box: Path) -> None:
    with connect(world, box) as sock:
        count = 1000
        sock.sendall(framed("web") * count)
        assert all(values(read(sock)) == ["10.9.0.2"] for _ in range(count))


@pytest.mark.parametrize(
    "said", [b"\xff\xff", b"\x00\x00", b"\x00\x0b" + b"x" * 11, b"\x00\x0c" + b"\xff" * 12]
)
def test_what_is_no_query_ends_the_connection(world: Lab, box: Path, said: bytes) -> None:
    with connect(world, box) as sock:
        sock.sendall(said)
        assert closed(sock)
    assert values(ask(box, "web")) == ["10.9.0.2"]


def test_who_dawdles_is_closed_and_holds_up_nobody(world: Lab, box: Path) -> None:
    began = time.monotonic()
    with connect(world, box) as silent, connect(world, box) as slow:
        wire = framed("web")
        slow.sendall(wire[:3])
        while time.monotonic() - began < IDLE - 1.5:
            slow.sendall(b"\x01")  # a byte now and then buys no time
            time.sleep(0.5)
            assert values(ask(box, "web", tcp=True)) == ["10.9.0.2"]
        assert closed(silent)
        assert closed(slow)
    assert IDLE - 1 < time.monotonic() - began < IDLE + 2


def test_a_container_has_sixteen_connections(world: Lab, box: Path) -> None:
    socks = [connect(world, box) for _ in range(30)]
    try:
        alive = 0
        for sock in socks:
            try:
                sock.sendall(framed("web"))
                alive += values(read(sock)) == ["10.9.0.2"]
            except (OSError, dns.exception.DNSException):
                pass
        assert alive == 16
    finally:
        for sock in socks:
            sock.close()
    assert values(ask(box, "web", tcp=True)) == ["10.9.0.2"]


def test_a_container_that_destroys_our_sockets_hurts_only_itself(world: Lab, box: Path) -> None:
    import subprocess

    other = world.box("other")
    world.tell(Client("c-other", str(other), ("n1",)))
    command = ["nsenter", f"--net={box}", "ss", "-K", "-a", "src", "127.0.0.11"]
    subprocess.run(command, check=True, capture_output=True)
    assert world.process is not None
    before = _ticks(world.process.pid)
    time.sleep(0.5)
    assert _ticks(world.process.pid) - before < 10, "it spins"
    assert values(ask(other, "web")) == ["10.9.0.2"]


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
