"""common/forward: UDP clients and their flows."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from support.forwarding import Forwarding, forwarding, with_client

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def room() -> Iterator[Forwarding]:
    with forwarding(udp_idle=0.6) as made:
        yield made


def publish(room: Forwarding, target: int, **changes: object) -> int:
    port = room.port(target, protocol="udp", **changes)
    return int(with_client(room, lambda client: client.publish(port)))


def flows(room: Forwarding, key: str) -> int:
    listing = with_client(room, lambda client: client.listing())
    return next(int(entry["flows"]) for entry in listing if entry["key"] == key)


@contextlib.contextmanager
def client(host: str, port: int) -> Iterator[socket.socket]:
    """Connected: an answer from any other address than the one asked would not reach it."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect((host, port))
        yield sock


def ask(sock: socket.socket, text: bytes) -> tuple[int, bytes]:
    sock.send(text)
    source, _, rest = sock.recv(65535).partition(b" ")
    return int(source), rest


@pytest.mark.parametrize("listen", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("inside", ["127.0.0.1", "::1"])
def test_each_client_is_one_peer_to_the_container(room: Forwarding, listen: str, inside: str) -> None:
    target = room.udp_server(inside)
    port = publish(room, target, key=f"{listen}-{inside}", host_ip=listen, address=inside)
    with client(listen, port) as one, client(listen, port) as two:
        first = ask(one, b"a")
        assert first[1] == b"a"
        assert ask(two, b"b")[0] != first[0]
        assert ask(one, b"c") == (first[0], b"c")


@pytest.mark.parametrize(("listen", "asked"), [("0.0.0.0", "127.0.0.7"), ("::", "::1")])
def test_the_answer_comes_from_the_address_that_was_asked(room: Forwarding, listen: str, asked: str) -> None:
    port = publish(room, room.udp_server(), key=f"any {listen}", host_ip=listen)
    with client(asked, port) as sock:
        assert ask(sock, b"x")[1] == b"x"


def test_large_and_empty_datagrams(room: Forwarding) -> None:
    with client("127.0.0.1", publish(room, room.udp_server())) as sock:
        assert ask(sock, b"")[1] == b""
        assert ask(sock, b"z" * 65000)[1] == b"z" * 65000


def test_silent_flows_are_forgotten_and_live_ones_are_not(room: Forwarding) -> None:
    port = publish(room, room.udp_server(), key="idle")
    with client("127.0.0.1", port) as busy, client("127.0.0.1", port) as silent:
        first, _ = ask(busy, b"x")
        ask(silent, b"x")
        assert flows(room, "idle") == 2
        for _ in range(6):
            time.sleep(0.2)
            assert ask(busy, b"x")[0] == first
        assert flows(room, "idle") == 1
        time.sleep(1.5)
        assert flows(room, "idle") == 0
        assert ask(silent, b"again")[1] == b"again"


def test_a_flood_of_clients_is_bounded_and_the_newest_is_served(room: Forwarding) -> None:
    port = publish(room, room.udp_server(), key="flood")
    for _ in range(1200):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"x", ("127.0.0.1", port))
    with client("127.0.0.1", port) as sock:
        sock.settimeout(0.3)
        for _ in range(20):  # the flood may have filled the socket: UDP loses what comes then
            with contextlib.suppress(TimeoutError):
                assert ask(sock, b"x")[1] == b"x"
                break
        else:
            pytest.fail("the newest client is not served")
    assert 0 < flows(room, "flood") <= 1024


def test_a_container_that_listens_later_is_reached(room: Forwarding) -> None:
    def free() -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            return int(sock.getsockname()[1])

    target: int = room.inside(free)
    with client("127.0.0.1", publish(room, target, key="later")) as sock:
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            ask(sock, b"lost")

        def bind() -> socket.socket:
            server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            server.bind(("127.0.0.1", target))
            return server

        with room.inside(bind) as server:
            sock.send(b"found")
            server.settimeout(5)
            assert server.recv(100) == b"found"
