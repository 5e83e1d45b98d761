"""Published ports: from everywhere, held while published, refused in Docker's words."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from moby_py.errors import Conflict, InvalidArgument, Unsupported
from moby_py.model import PortBinding
from support.bridging import cut_off, network, off, opened, port, reaches, request
from support.worlds import HOST, HOST6, World, world

pytestmark = pytest.mark.root


@pytest.fixture
def host(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.mark.parametrize("udp", [False, True], ids=["tcp", "udp"])
@pytest.mark.parametrize("filtered", [True, False], ids=["br_netfilter", "plain"])
def test_a_port_is_reached_from_everywhere(tmp_path: Path, host: World, udp: bool, filtered: bool) -> None:
    other = network(8)
    binding = port(80, 8080, "udp" if udp else "tcp")

    def switch() -> None:
        for name in ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables"):
            Path(f"/proc/sys/net/bridge/{name}").write_text("01"[filtered])

    async def story() -> None:
        await off(lambda: host.inside("host", switch))
        async with opened(tmp_path, network(), other) as it:
            got = await it.attach(request(host, network(), 2, binding))
            assert [(p.host_ip, p.host_port) for p in got.ports] == [("0.0.0.0", 8080), ("::", 8080)]
            await it.attach(request(host, network(), 3))
            await it.attach(request(host, other, 4))
            await off(host.serve, "c2", 80, udp=udp)
            everywhere = [
                (who, address)
                for who in ("host", "remote", "c2", "c3", "c4")
                for address in (HOST, HOST6, "10.9.0.1", "fd00:9::1")
                if who != "remote" or address in (HOST, HOST6)
            ]
            everywhere += [("host", "127.0.0.1"), ("host", "127.0.0.7")]
            everywhere += [] if udp else [("host", "::1")]
            missed = [(w, a) for w, a in everywhere if not await reaches(host, w, a, 8080, udp=udp)]
            assert missed == []

    host.play(story)


def test_the_client_is_seen_by_its_own_address(tmp_path: Path, host: World) -> None:
    def peer() -> str:
        with socket.create_server(("0.0.0.0", 80)) as server:
            server.settimeout(5)
            import threading

            def connect() -> None:
                socket.create_connection((HOST, 8080), timeout=3).close()

            thread = threading.Thread(target=lambda: host.inside("remote", connect))
            thread.start()
            connection, found = server.accept()
            connection.close()
            thread.join()
            return str(found[0])

    async def story() -> str:
        async with opened(tmp_path, network()) as it:
            await it.attach(request(host, network(), 2, port(80, 8080)))
            return await off(lambda: host.inside("c2", peer))

    assert host.play(story) == "192.0.2.2"


def test_ports_on_one_address_only(tmp_path: Path, host: World) -> None:
    record = network(bridge__host_binding_ipv4="127.0.0.1")

    async def story() -> None:
        async with opened(tmp_path, record) as it:
            bindings = (port(80, 8080), port(80, 8081, host_ip=HOST), port(80, 8082, host_ip="::1"))
            got = await it.attach(request(host, record, 2, *bindings))
            assert [p.host_ip for p in got.ports] == ["127.0.0.1", HOST, "::1"]
            await off(host.serve, "c2", 80)
            assert await reaches(host, "host", "127.0.0.1", 8080)
            assert await cut_off(host, "remote", HOST, 8080)
            assert await cut_off(host, "c2", "10.9.0.1", 8080)
            assert await reaches(host, "remote", HOST, 8081)
            assert await cut_off(host, "host", "127.0.0.1", 8081)
            assert await reaches(host, "host", "::1", 8082)
            assert await cut_off(host, "remote", HOST6, 8082)

    host.play(story)


def test_ipv6_clients_of_a_container_without_ipv6(tmp_path: Path, host: World) -> None:
    record = network(ipv6=False)

    async def story() -> None:
        async with opened(tmp_path, record) as it:
            got = await it.attach(request(host, record, 2, port(80, 8080), port(53, 5353, "udp")))
            assert [(p.host_ip, p.host_port) for p in got.ports] == [
                ("0.0.0.0", 8080),
                ("::", 8080),
                ("0.0.0.0", 5353),
            ]
            await off(host.serve, "c2", 80)
            assert await reaches(host, "host", "::1", 8080)
            assert await reaches(host, "remote", HOST6, 8080)
            with pytest.raises(Unsupported) as caught:
                await it.attach(request(host, record, 3, port(53, 5354, "udp", "::1")))
            assert caught.value.message == "cannot publish on ::1 - the container has no IPv6 address"

    host.play(story)


def test_any_free_port_is_free_and_stays_ours(tmp_path: Path, host: World) -> None:
    async def story() -> None:
        async with opened(tmp_path, network()) as it:
            asked = request(
                host, network(), 2, *(port(n, 0, kind) for n in (80, 81) for kind in ("tcp", "udp"))
            )
            got = await it.attach(asked)
            assert len(got.ports) == 8
            assert [p.container_port for p in got.ports] == [80, 80, 80, 80, 81, 81, 81, 81]
            pairs = list(zip(got.ports[::2], got.ports[1::2], strict=True))
            assert all(four.host_port == six.host_port for four, six in pairs)
            assert len({(p.protocol, p.host_port) for p in got.ports}) == 4
            for taken in got.ports:
                kind = socket.SOCK_STREAM if taken.protocol == "tcp" else socket.SOCK_DGRAM
                family = socket.AF_INET6 if ":" in taken.host_ip else socket.AF_INET
                with socket.socket(family, kind) as thief:
                    if family == socket.AF_INET6:
                        thief.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    with pytest.raises(OSError, match="Address already in use"):
                        thief.bind((taken.host_ip, taken.host_port))
            await it.detach(asked, got)
            with socket.create_server(("0.0.0.0", got.ports[0].host_port)):
                pass  # free again

    host.play(story)


def test_conflicts_in_dockers_words_leave_nothing(tmp_path: Path, host: World) -> None:
    async def story() -> None:
        async with opened(tmp_path, network()) as it:
            await it.attach(request(host, network(), 2, port(80, 8080)))
            for binding, said in (
                (port(80, 8080), "Bind for 0.0.0.0:8080 failed: port is already allocated"),
                (
                    port(80, 8080, host_ip="127.0.0.1"),
                    "Bind for 127.0.0.1:8080 failed: port is already allocated",
                ),
                (port(80, 8080, host_ip="::1"), "Bind for [::1]:8080 failed: port is already allocated"),
                (
                    port(80, 9090),
                    "failed to bind host port for 0.0.0.0:9090:10.9.0.3:80/tcp: address already in use",
                ),
                (
                    port(80, 9091, host_ip="203.0.113.9"),
                    "failed to bind host port for 203.0.113.9:9091:10.9.0.3:80/tcp: "
                    "cannot assign requested address",
                ),
            ):
                asked = request(host, network(), 3, port(81, 8181), binding)
                with socket.create_server(("0.0.0.0", 9090)), pytest.raises(Conflict) as caught:
                    await it.attach(asked)
                assert caught.value.message == (
                    f"driver failed programming external connectivity on endpoint c3 (e3): {said}"
                )
                assert await off(lambda: host.inside("c3", socket.if_nameindex)) == [(1, "lo")]
                with socket.create_server(("0.0.0.0", 8181)):
                    pass  # the first port was given back
            # The same port for the other protocol is another port.
            await it.attach(request(host, network(), 3, port(80, 8080, "udp")))

    host.play(story)


@pytest.mark.parametrize(
    ("binding", "error", "message"),
    [
        (port(80, 80, "sctp"), Unsupported, "cannot publish 80/sctp - tcp and udp only"),
        (port(80, 80, "tcp", "localhost"), InvalidArgument, "invalid IP address: localhost"),
    ],
)
def test_bindings_that_cannot_be(
    tmp_path: Path, host: World, binding: PortBinding, error: type[Exception], message: str
) -> None:
    async def story() -> None:
        async with opened(tmp_path, network()) as it:
            with pytest.raises(error) as caught:
                await it.attach(request(host, network(), 2, binding))
            assert str(caught.value) == message

    host.play(story)


def test_a_port_within_one_endpoint_once_only(tmp_path: Path, host: World) -> None:
    async def story() -> None:
        async with opened(tmp_path, network()) as it:
            with pytest.raises(
                Conflict, match=r"Bind for 0\.0\.0\.0:8080 failed: port is already allocated$"
            ):
                await it.attach(request(host, network(), 2, port(80, 8080), port(81, 8080)))

    host.play(story)


def test_udp_flows_follow_the_port_to_its_next_container(tmp_path: Path, host: World) -> None:
    """A client that never stops sending from one socket: host, first container, second container."""

    async def story() -> None:
        client = host.inside("remote", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        client.settimeout(0.5)
        client.connect((HOST, 5353))

        def ask() -> bytes:
            for _ in range(4):
                with contextlib.suppress(OSError):
                    client.send(b"?")
                    return client.recv(100)
            return b""

        with client:
            async with opened(tmp_path, network()) as it:
                assert await off(ask) == b""  # nobody is there, and the kernel remembers that
                for number, words in ((2, b"first"), (3, b"second")):
                    asked = request(host, network(), number, port(53, 5353, "udp"))
                    got = await it.attach(asked)
                    await off(host.serve, f"c{number}", 53, udp=True, words=words)
                    assert await off(ask) == words
                    if number == 2:
                        await it.detach(asked, got)

    host.play(story)


def test_containers_cannot_use_the_hosts_loopback(tmp_path: Path, host: World) -> None:
    """Publishing on 127.0.0.1 needs route_localnet; a container must not profit from it."""

    async def story() -> None:
        async with opened(tmp_path, network()) as it:
            await it.attach(request(host, network(), 2, port(80, 8080, host_ip="127.0.0.1")))
            await off(host.serve, "host", 7000)

            def sneak() -> None:
                from support.worlds import command

                command("ip", "link", "set", "lo", "down")
                command("ip", "addr", "flush", "dev", "lo")
                command("sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1")
                command("ip", "route", "add", "127.0.0.1/32", "via", "10.9.0.1", "src", "10.9.0.2")
                command("ip", "route", "flush", "table", "local", "127.0.0.0/8")

            with contextlib.suppress(Exception):
                await off(lambda: host.inside("c2", sneak))
            assert await reaches(host, "c2", "10.9.0.1", 7000)
            assert await cut_off(host, "c2", "127.0.0.1", 7000)
            assert await cut_off(host, "c2", "127.0.0.1", 8080)

    host.play(story)
