"""Who reaches whom on bridge networks, asked with real sockets in real namespaces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.bridging import cut_off, network, off, opened, port, reaches, request
from support.worlds import HOST, HOST6, World, command, world

pytestmark = pytest.mark.root


@pytest.fixture
def host(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def test_neighbours_and_the_host_by_address(tmp_path: Path, host: World) -> None:
    async def story() -> None:
        async with opened(tmp_path, network()) as it:
            for number in (2, 3):
                await it.attach(request(host, network(), number))
            await off(host.serve, "c2", 80)
            for who in ("c3", "host"):
                assert await reaches(host, who, "10.9.0.2", 80)
                assert await reaches(host, who, "fd00:9::2", 80), "and at once, without waiting for DAD"

    host.play(story)


def test_containers_reach_the_world_under_the_hosts_address(tmp_path: Path, host: World) -> None:
    def peer(address: str) -> str:
        import socket

        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.create_server((address, 0), family=family) as server:
            server.settimeout(5)
            number = server.getsockname()[1]

            def connect() -> None:
                socket.create_connection((address, number), timeout=3).close()

            import threading

            thread = threading.Thread(target=lambda: host.inside("c2", connect))
            thread.start()
            connection, found = server.accept()
            connection.close()
            thread.join()
            return str(found[0])

    async def story() -> None:
        async with opened(tmp_path, network()) as it:
            await it.attach(request(host, network(), 2))
            assert await off(lambda: host.inside("remote", lambda: peer("192.0.2.2"))) == HOST
            assert await off(lambda: host.inside("remote", lambda: peer("fd00:2::2"))) == HOST6

    host.play(story)


def test_networks_are_isolated_but_for_published_ports(tmp_path: Path, host: World) -> None:
    other = network(8)

    async def story() -> None:
        async with opened(tmp_path, network(), other) as it:
            await it.attach(request(host, network(), 2, port(80, 8080)))
            await it.attach(request(host, other, 3))
            await off(host.serve, "c2", 80)
            await off(host.serve, "c2", 81)
            for address in ("10.9.0.2", "fd00:9::2"):
                assert await cut_off(host, "c3", address, 80)
                assert await cut_off(host, "remote", address, 80)
            for address in ("10.8.0.1", HOST, "fd00:8::1", HOST6):
                assert await reaches(host, "c3", address, 8080)

    host.play(story)


def test_a_remote_host_with_a_route_reaches_published_ports_only(tmp_path: Path, host: World) -> None:
    async def story() -> None:
        async with opened(tmp_path, network()) as it:
            await it.attach(request(host, network(), 2, port(80, 8080)))
            await off(host.serve, "c2", 80)
            add = ("ip", "route", "add", "10.9.0.0/16", "via", HOST)
            await off(lambda: host.inside("remote", lambda: command(*add)))
            assert await cut_off(host, "remote", "10.9.0.2", 80)
            assert await reaches(host, "remote", HOST, 8080)

    host.play(story)


def test_internal_networks_lead_nowhere(tmp_path: Path, host: World) -> None:
    inner, outer = network(internal=True), network(8)

    async def story() -> None:
        async with opened(tmp_path, inner, outer) as it:
            first = await it.attach(request(host, inner, 2, port(80, 8080)))
            assert first.ports == ()
            for number in (3,):
                await it.attach(request(host, inner, number))
            await it.attach(request(host, outer, 4, port(80, 8081)))
            for name in ("c2", "c4", "remote"):
                await off(host.serve, name, 80)
            assert await reaches(host, "c3", "10.9.0.2", 80)
            assert (
                await off(lambda: host.inside("c3", lambda: command("ip", "route", "show", "default"))) == ""
            )
            # A default route of the container's own making does not help it.
            add = ("ip", "route", "add", "default", "via", "10.9.0.1")
            await off(lambda: host.inside("c3", lambda: command(*add)))
            assert await cut_off(host, "c3", "192.0.2.2", 80)
            assert await cut_off(host, "c3", "10.8.0.4", 80)
            assert await cut_off(host, "c3", HOST, 8081)
            assert await cut_off(host, "c4", "10.9.0.2", 80)
            assert await cut_off(host, "remote", HOST, 8080)

    host.play(story)


@pytest.mark.parametrize("filtered", [True, False], ids=["br_netfilter", "plain"])
def test_without_icc_neighbours_meet_at_published_ports_only(
    tmp_path: Path, host: World, filtered: bool
) -> None:
    record = network(bridge__enable_icc="false")

    def switch() -> None:
        for name in ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables"):
            Path(f"/proc/sys/net/bridge/{name}").write_text("01"[filtered])

    async def story() -> None:
        await off(lambda: host.inside("host", switch))
        async with opened(tmp_path, record) as it:
            await it.attach(request(host, record, 2, port(80, 8080)))
            await it.attach(request(host, record, 3))
            await off(host.serve, "c2", 80)
            await off(host.serve, "c2", 80, udp=True)
            for address in ("10.9.0.2", "fd00:9::2"):
                assert await cut_off(host, "c3", address, 80)
                assert await cut_off(host, "c3", address, 80, udp=True)
                assert await reaches(host, "host", address, 80)
            assert await reaches(host, "c3", "10.9.0.1", 8080)
            assert await reaches(host, "c3", "fd00:9::1", 8080)

    host.play(story)


def test_without_masquerading_the_world_must_know_the_way_back(tmp_path: Path, host: World) -> None:
    record = network(bridge__enable_ip_masquerade="false")

    async def story() -> None:
        async with opened(tmp_path, record) as it:
            await it.attach(request(host, record, 2))
            await off(host.serve, "remote", 80)
            assert await cut_off(host, "c2", "192.0.2.2", 80)
            add = ("ip", "route", "add", "10.9.0.0/16", "via", HOST)
            await off(lambda: host.inside("remote", lambda: command(*add)))
            assert await reaches(host, "c2", "192.0.2.2", 80)

    host.play(story)


def test_mtu_mac_and_no_ipv6_where_there_is_none(tmp_path: Path, host: World) -> None:
    record = network(ipv6=False, driver__mtu="1280")

    async def story() -> str:
        async with opened(tmp_path, record) as it:
            await it.attach(request(host, record, 2, mac="02:42:de:ad:be:ef", interface="net7"))
            return await off(lambda: host.inside("c2", lambda: command("ip", "addr", "show", "net7")))

    shown = host.play(story)
    assert "mtu 1280" in shown
    assert "link/ether 02:42:de:ad:be:ef" in shown
    assert "inet 10.9.0.2/16 brd 10.9.255.255" in shown
    assert "inet6" not in shown


def test_a_named_bridge_and_one_that_somebody_made(tmp_path: Path, host: World) -> None:
    named, found = network(bridge__name="mine0"), network(8, bridge__name="theirs0")

    async def story() -> None:
        await off(
            lambda: host.inside("host", lambda: command("ip", "link", "add", "theirs0", "type", "bridge"))
        )
        async with opened(tmp_path, named, found) as it:
            await it.attach(request(host, named, 2))
            await it.attach(request(host, found, 3))
            for address in ("10.9.0.1", "10.8.0.1"):
                await off(host.serve, "host", 80) if address == "10.9.0.1" else None
            assert await reaches(host, "c2", "10.9.0.1", 80)
            assert await reaches(host, "c3", "10.8.0.1", 80)
            for record, number in ((named, 2), (found, 3)):
                await it.detach(request(host, record, number), None)
                await it.remove(record)

    host.play(story)
    links = host.inside("host", lambda: command("ip", "-br", "link"))
    assert "mine0" not in links
    assert "theirs0" in links


def test_a_container_on_two_networks(tmp_path: Path, host: World) -> None:
    other = network(8)

    async def story() -> None:
        async with opened(tmp_path, network(), other) as it:
            await it.attach(request(host, network(), 2, name="both"))
            second = request(host, other, 2, name="both", interface="eth1", default_route=False)
            got = await it.attach(second)
            await it.attach(request(host, network(), 3))
            await it.attach(request(host, other, 4))
            await off(host.serve, "both", 80)
            assert await reaches(host, "c3", "10.9.0.2", 80)
            assert await reaches(host, "c4", "10.8.0.2", 80)
            await it.detach(second, got)  # live
            assert await reaches(host, "c3", "10.9.0.2", 80)
            assert await cut_off(host, "c4", "10.8.0.2", 80)
            links = await off(lambda: host.inside("both", lambda: command("ip", "-br", "link")))
            assert "eth1" not in links

    host.play(story)
