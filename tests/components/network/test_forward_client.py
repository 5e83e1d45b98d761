"""common/forward: publishing, refusals, and whoever of the two is killed."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from moby_components.common.forward import Forwarder, Port
from moby_components.common.forward.port import refusal
from moby_py.errors import Conflict, InvalidArgument, MobyError, PermissionDenied, Unavailable, Unsupported
from support.forwarding import LOG, Forwarding, forwarding, with_client

pytestmark = pytest.mark.root
UID = 54321


@pytest.fixture
def room() -> Iterator[Forwarding]:
    with forwarding() as made:
        yield made


def greet(sock: socket.socket) -> None:
    sock.sendall(b"hello")
    sock.recv(1)


def greeting(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        return sock.recv(100)


def refused(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0


def test_the_same_again_is_the_same_port_and_another_address_replaces_it(room: Forwarding) -> None:
    target = room.server(greet)

    async def work(client: Forwarder) -> None:
        port = room.port(target)
        first = await client.publish(port)
        assert await client.publish(port) == first
        assert await client.publish(replace(port, host_port=first)) == first
        moved = await client.publish(replace(port, host_ip="127.0.0.2", host_port=first))
        assert moved == first
        assert [(e["host_ip"], e["bound"]) for e in await client.listing()] == [("127.0.0.2", first)]
        assert refused(first)
        await client.withdraw(port.key)
        await client.withdraw(port.key)
        assert await client.listing() == []

    with_client(room, work)


def test_withdrawing_resets_what_is_connected(room: Forwarding) -> None:
    async def work(client: Forwarder) -> None:
        port = room.port(room.server(greet))
        bound = await client.publish(port)
        with socket.create_connection(("127.0.0.1", bound), timeout=10) as sock:
            assert sock.recv(100) == b"hello"
            await client.withdraw(port.key)
            with pytest.raises(ConnectionResetError):
                sock.recv(1)

    with_client(room, work)


def test_refusals(room: Forwarding) -> None:
    async def work(client: Forwarder) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            number = taken.getsockname()[1]
            with pytest.raises(
                Conflict, match=rf"^Bind for 127\.0\.0\.1:{number} failed: port is already allocated$"
            ):
                await client.publish(room.port(80, host_port=number))
        with pytest.raises(
            InvalidArgument, match=r"^listen tcp4 203\.0\.113\.9:81: bind: cannot assign requested address$"
        ):
            await client.publish(room.port(80, host_ip="203.0.113.9", host_port=81))
        with pytest.raises(Unsupported, match=r"^cannot publish 80/sctp - only tcp and udp are forwarded$"):
            await client.publish(room.port(80, protocol="sctp"))
        with pytest.raises(
            Unavailable, match=r"^cannot publish 127\.0\.0\.1:0/tcp - no such file or directory$"
        ):
            await client.publish(room.port(80, world=str(room.base / "nowhere")))
        assert await client.listing() == []

    with_client(room, work)


def test_an_ordinary_users_privileged_port(tmp_path: Path) -> None:
    """The real refusal of the kernel, for a process without capabilities."""
    os.chown(tmp_path, UID, UID)
    for folder in (tmp_path, *tmp_path.parents):
        if folder != Path("/tmp") and os.access(folder, os.W_OK) and str(folder).startswith("/tmp/"):
            folder.chmod(0o755)

    async def work() -> None:
        client = Forwarder(tmp_path, LOG)
        argv = ["setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups"]
        process = subprocess.Popen([*argv, *client.service().argv])
        os.seteuid(UID)  # it speaks to its own user only
        try:
            await client.open()
            port = Port(
                key="k", host_ip="0.0.0.0", host_port=81, protocol="tcp", address="127.0.0.1", port=80
            )
            with pytest.raises(PermissionDenied) as raised:
                await client.publish(port)
        finally:
            os.seteuid(0)
            await client.close()
            process.terminate()
            process.wait()
        assert raised.value.message == (
            "cannot expose privileged port 81 - listen tcp4 0.0.0.0:81: bind: permission denied"
        )
        assert raised.value.hint == (
            "sudo sysctl -w net.ipv4.ip_unprivileged_port_start=81 (currently 1024), "
            "or choose a port from 1024 on"
        )

    asyncio.run(work())


def test_other_refusals_name_the_address() -> None:
    port = Port(key="k", host_ip="::1", host_port=82, protocol="udp", address="::1", port=80)
    error: MobyError = refusal(port, 98, "")
    assert error.message == "Bind for [::1]:82 failed: port is already allocated"
    assert refusal(port, 0, "more than 3 published ports").message == (
        "cannot publish [::1]:82/udp - more than 3 published ports"
    )


def test_ports_outlive_the_daemon_and_the_next_one_takes_them_up(room: Forwarding) -> None:
    target = room.server(greet)
    kept, dropped = room.port(target), room.port(target, key="dropped")

    async def first(client: Forwarder) -> tuple[int, int]:
        return await client.publish(kept), await client.publish(dropped)

    bound, other = with_client(room, first)
    assert greeting(bound) == greeting(other) == b"hello"

    async def second(client: Forwarder) -> None:
        with socket.create_connection(("127.0.0.1", bound), timeout=10) as sock:
            assert sock.recv(100) == b"hello"
            taken = replace(kept, key="taken", host_port=bound)
            failed = await client.sync([replace(kept, host_port=bound), taken])
            assert {key: str(error) for key, error in failed.items()} == {
                "taken": f"Bind for 127.0.0.1:{bound} failed: port is already allocated"
            }
            sock.sendall(b"x")  # its connection was not touched: the server ends it
            assert sock.recv(1) == b""
        assert greeting(bound) == b"hello"
        assert refused(other)

    with_client(room, second)


def test_a_port_that_gets_another_name_keeps_its_connections(room: Forwarding) -> None:
    port = room.port(room.server(greet))

    async def work(client: Forwarder) -> None:
        bound = await client.publish(port)
        with socket.create_connection(("127.0.0.1", bound), timeout=10) as sock:
            assert sock.recv(100) == b"hello"
            assert await client.sync([replace(port, key="renamed", host_port=bound)]) == {}
            assert [(e["key"], e["flows"]) for e in await client.listing()] == [("renamed", 1)]
            sock.sendall(b"x")
            assert sock.recv(1) == b""

    with_client(room, work)


def test_a_killed_forwarder_gets_everything_back(room: Forwarding) -> None:
    target = room.server(greet)

    async def work(client: Forwarder) -> None:
        bound = await client.publish(room.port(target))
        room.kill()
        assert refused(bound)
        room.start()
        again = await client.publish(room.port(target, key="another"))
        assert await asyncio.to_thread(greeting, bound) == b"hello"
        assert await asyncio.to_thread(greeting, again) == b"hello"

    with_client(room, work)


def test_a_forwarder_that_does_not_come_back(room: Forwarding, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moby_components.common.forward.client.PATIENCE", 0.3)

    async def work(client: Forwarder) -> None:
        room.kill()
        with pytest.raises(Unavailable) as raised:
            await client.publish(room.port(80))
        assert str(raised.value) == (
            f"the port forwarder does not answer - nothing accepts on {room.base}/forwarder.sock"
        )

    with_client(room, work)


def test_two_worlds_and_home_from_one_process(room: Forwarding) -> None:
    with forwarding() as other, socket.create_server(("127.0.0.1", 0)) as at_home:
        targets = [
            room.port(room.server(greet), key="a"),
            room.port(other.server(lambda s: s.sendall(b"other")), key="b", world=str(other.world)),
            room.port(at_home.getsockname()[1], key="c", world=""),
        ]

        async def work(client: Forwarder) -> list[int]:
            return [await client.publish(port) for port in targets]

        a, b, c = with_client(room, work)
        for _ in range(3):
            assert greeting(a) == b"hello"
            assert greeting(b) == b"other"
            with socket.create_connection(("127.0.0.1", c), timeout=10) as sock:
                accepted, _ = at_home.accept()
                accepted.sendall(b"home")
                assert sock.recv(100) == b"home"
                accepted.close()


def test_it_can_do_little(room: Forwarding) -> None:
    with_client(room, lambda client: client.listing())
    assert room.process is not None
    proc = Path(f"/proc/{room.process.pid}")
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines() if ":" in line)
    assert status["NoNewPrivs"].strip() == "1"
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == (1 << 10) | (1 << 21)
    limits = (proc / "limits").read_text()
    assert [line.split()[3:5] for line in limits.splitlines() if line.startswith("Max file size")] == [
        ["0", "0"]
    ]
    assert (room.base / "forwarder.sock").stat().st_mode & 0o777 == 0o600


def test_nonsense_is_answered_and_too_much_ends_the_connection(room: Forwarding) -> None:
    with_client(room, lambda client: client.listing())
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(room.base / "forwarder.sock"))
        file = sock.makefile("rwb")
        for line, answer in (
            (b"{]\n", b'"error": "Expecting property name'),
            (b"[]\n", b'"error": "not a request: '),
            (b'{"id": 1, "op": "eat"}\n', b'{"id": 1, "errno": 0, "error": "no operation \'eat\'"}\n'),
            (b'{"id": 2, "op": "publish", "port": {"key": 1}}\n', b"not a request: KeyError('host_ip')"),
        ):
            file.write(line)
            file.flush()
            assert answer in file.readline()
        with pytest.raises(OSError):  # reset or broken pipe, as the kernel likes
            for _ in range(64):
                sock.sendall(b"x" * (1 << 20))
    assert with_client(room, lambda client: client.listing()) == []


def test_it_leaves_no_socket_when_it_is_stopped(room: Forwarding) -> None:
    with_client(room, lambda client: client.listing())
    assert room.process is not None
    room.process.terminate()
    assert room.process.wait() == 0
    assert sorted(path.name for path in room.base.iterdir()) == ["world"]
