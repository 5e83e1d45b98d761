"""common/forward: what a TCP client and a container see of the forwarder between them - nothing."""

from __future__ import annotations

import hashlib
import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.forwarding import Forwarding, forwarding, open_descriptors, with_client

pytestmark = pytest.mark.root
RESET = b"\1\0\0\0\0\0\0\0"


@pytest.fixture(scope="module")
def room() -> Iterator[Forwarding]:
    with forwarding() as made:
        yield made


def publish(room: Forwarding, target: int, **changes: object) -> int:
    port = room.port(target, **changes)
    return int(with_client(room, lambda client: client.publish(port)))


def connect(port: int, host: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection((host, port), timeout=20)


def read_all(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(1 << 16), b""))


def until(check: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def send_all(sock: socket.socket, data: bytes) -> None:
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def echo(sock: socket.socket) -> None:
    while data := sock.recv(1 << 16):
        sock.sendall(data)


@pytest.mark.parametrize("listen", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("inside", ["127.0.0.1", "::1"])
def test_any_family_leads_to_any_other(room: Forwarding, listen: str, inside: str) -> None:
    target = room.server(echo, inside)
    port = publish(room, target, key=f"{listen}-{inside}", host_ip=listen, address=inside)
    with connect(port, listen) as sock:
        sock.sendall(b"hello")
        assert sock.recv(100) == b"hello"


def test_the_client_may_finish_first(room: Forwarding) -> None:
    def answer_at_the_end(sock: socket.socket) -> None:
        asked = read_all(sock)
        time.sleep(0.2)
        sock.sendall(b"got " + asked)

    with connect(publish(room, room.server(answer_at_the_end))) as sock:
        sock.sendall(b"a question")
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == b"got a question"


def test_the_container_may_finish_first(room: Forwarding) -> None:
    got: list[bytes] = []

    def speak_then_listen(sock: socket.socket) -> None:
        sock.sendall(b"that is all")
        sock.shutdown(socket.SHUT_WR)
        got.append(read_all(sock))

    with connect(publish(room, room.server(speak_then_listen))) as sock:
        assert read_all(sock) == b"that is all"
        time.sleep(0.1)
        sock.sendall(b"still ")
        sock.sendall(b"here")
    until(lambda: got == [b"still here"])


def test_every_byte_arrives_in_both_directions_at_once(room: Forwarding) -> None:
    sent = os.urandom(24 << 20)
    back = os.urandom(16 << 20)
    got: list[bytes] = []

    def exchange(sock: socket.socket) -> None:
        sender = threading.Thread(target=send_all, args=(sock, back))
        sender.start()
        got.append(hashlib.sha256(read_all(sock)).digest())
        sender.join()

    with connect(publish(room, room.server(exchange))) as sock:
        sender = threading.Thread(target=send_all, args=(sock, sent))
        sender.start()
        assert hashlib.sha256(read_all(sock)).digest() == hashlib.sha256(back).digest()
        sender.join()
    until(lambda: got == [hashlib.sha256(sent).digest()])


def test_a_slow_reader_slows_the_sender(room: Forwarding) -> None:
    content = os.urandom(1 << 20)
    sent = [0]

    def pour(sock: socket.socket) -> None:
        for _ in range(96):
            sock.sendall(content)
            sent[0] += 1

    with connect(publish(room, room.server(pour))) as sock:
        assert room.process is not None
        before = -1
        while before != sent[0]:  # until it stands still
            before = sent[0]
            time.sleep(0.3)
        assert sent[0] < 48, f"{sent[0]} MiB were taken from a sender whose reader reads nothing"
        spent = cpu_seconds(room.process.pid)
        time.sleep(0.5)
        assert cpu_seconds(room.process.pid) - spent < 0.1, "it spins"
        assert memory(room.process.pid) < 64 << 20
        digest = hashlib.sha256(read_all(sock)).digest()
    assert digest == hashlib.sha256(content * 96).digest()


def test_a_sender_that_left_while_the_reader_is_slow_costs_nothing(room: Forwarding) -> None:
    """Both ends of the container's socket are done, and bytes for the client still wait here."""

    def leave(sock: socket.socket) -> None:
        read_all(sock)
        sock.settimeout(0.5)
        try:
            while True:
                sock.sendall(b"x" * (1 << 20))
        except TimeoutError:
            pass

    with connect(publish(room, room.server(leave))) as sock:
        sock.shutdown(socket.SHUT_WR)
        time.sleep(1.0)
        assert room.process is not None
        spent = cpu_seconds(room.process.pid)
        time.sleep(0.5)
        assert cpu_seconds(room.process.pid) - spent < 0.1, "it spins"
        assert len(read_all(sock)) > 1 << 20


def test_five_hundred_at_once_and_nothing_is_left_of_them(room: Forwarding) -> None:
    assert room.process is not None
    port = publish(room, room.server(echo))
    before = open_descriptors(room.process.pid)
    clients = [connect(port) for _ in range(500)]
    for number, sock in enumerate(clients):
        sock.sendall(b"%d" % number)
    for number, sock in enumerate(clients):
        assert sock.recv(100) == b"%d" % number
    for sock in clients:
        sock.close()
    pid = room.process.pid
    until(lambda: open_descriptors(pid) <= before + 2 * 32)  # idle pipes are kept


def test_nobody_listens_inside(room: Forwarding) -> None:
    port = publish(room, 9)
    # The reset may come before connect(2) has returned: it is what tells then.
    with pytest.raises(ConnectionResetError), connect(port) as sock:
        sock.recv(1)


def test_a_reset_passes_through(room: Forwarding) -> None:
    def abort(sock: socket.socket) -> None:
        sock.recv(1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    with connect(publish(room, room.server(abort))) as sock:
        sock.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


def test_without_room_clients_wait_and_without_descriptors_it_lives_on() -> None:
    """40 descriptors: some connections fit, the next ones wait in the kernel or are reset; when the
    first have gone, everybody is served again."""
    with forwarding() as room:
        room.kill()
        room.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)))
        port = publish(room, room.server(echo))
        clients = [connect(port) for _ in range(60)]
        for sock in clients[:8]:
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
        for sock in clients:
            sock.close()
        assert room.process is not None
        assert room.process.poll() is None
        time.sleep(0.3)
        for _ in range(100):
            with connect(port) as sock:
                sock.sendall(b"y")
                assert sock.recv(1) == b"y"


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
