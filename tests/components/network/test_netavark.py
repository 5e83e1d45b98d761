"""network/netavark with the real netavark and aardvark-dns, on a host of each test's own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moby_components.network.netavark.component import Netavark
from moby_py.errors import Conflict, InvalidArgument, RuntimeFailed, Unsupported
from moby_py.model import Attachment, AttachRequest, Endpoint, NetworkRecord, PortBinding, Sandbox
from moby_py.testing import NetworkContract
from moby_py.testing.room import make_context
from support.worlds import HOST, HOST6, World, command, soon, world

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces"),
    pytest.mark.skipif(not Path("/usr/lib/podman/netavark").exists(), reason="netavark is not installed"),
]


class TestContract(NetworkContract):
    component_class = Netavark


@pytest.fixture
def host(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def component(tmp_path: Path) -> Iterator[Netavark]:
    yield second_life(tmp_path)
    pid = aardvark(tmp_path)
    if pid:
        os.kill(pid, signal.SIGKILL)


def second_life(tmp_path: Path, **options: Any) -> Netavark:
    """The component as a new daemon makes it, on the same directories."""
    return Netavark(make_context(Netavark, tmp_path, options=options))


def aardvark(tmp_path: Path) -> int:
    """Pid of the running aardvark of this test, 0 for none."""
    for process in list(Path("/proc").iterdir()):
        if process.name.isdigit():
            try:
                words = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if words.startswith(b"/usr/lib/podman/aardvark-dns") and os.fsencode(tmp_path) in words:
                return int(process.name)
    return 0


def network(n: int, **more: Any) -> NetworkRecord:
    pools = [{"Subnet": f"10.66.{n}.0/24", "Gateway": f"10.66.{n}.1"}]
    if more.get("ipv6", True):
        pools.append({"Subnet": f"fd66:{n}::/64", "Gateway": f"fd66:{n}::1"})
    base = NetworkRecord(
        id=f"{n:064x}",
        name=f"net{n}",
        driver="bridge",
        sandbox="private",
        addressing="engine",
        names="component",
        ipv6=True,
        ipam={"Driver": "default", "Config": pools},
    )
    return replace(base, **more)


def request(host: World, name: str, net: NetworkRecord, last: int, **more: Any) -> AttachRequest:
    n = int(net.id, 16)
    v6 = len(net.ipam["Config"]) > 1
    path = host.path(name)
    base = AttachRequest(
        container_id=(name.encode().hex() * 64)[:64],
        container_name=name,
        network=net,
        sandbox=Sandbox(mode="private", path=str(path) if path.exists() else host.make(name)),
        endpoint_id=f"{name}-{n}",
        ipv4=f"10.66.{n}.{last}/24",
        ipv6=f"fd66:{n}::{last}/64" if v6 else "",
        gateway4="" if net.internal else f"10.66.{n}.1",
        gateway6="" if net.internal or not v6 else f"fd66:{n}::1",
        mac=f"02:42:0a:42:{n:02x}:{last:02x}",
    )
    return replace(base, **more)


def test_containers_reach_each_other_by_address_and_by_name(host: World, component: Netavark) -> None:
    before = host.state()
    web = request(host, "web", network(1), 2, aliases=("www",))
    client = request(host, "client", network(1), 3)
    host.serve("web", 80)

    async def story() -> None:
        await component.open()
        for one in (web, client):
            made = await component.attach(one)
            assert made == Attachment(
                container_id=one.container_id,
                network_id=one.network_id,
                endpoint_id=one.endpoint_id,
                interface="eth0",
                mac=one.mac,
                ipv4=one.ipv4,
                ipv6=one.ipv6,
                gateway4="10.66.1.1",
                gateway6="fd66:1::1",
                dns=("10.66.1.1", "fd66:1::1"),
            )
        for address in ("10.66.1.2", "fd66:1::2"):
            assert host.ask("client", address, 80) == b"hello"
        for name in ("web", "www", web.container_id[:12]):
            assert host.resolve("client", "10.66.1.1", name) == ["10.66.1.2"]
        assert host.resolve("client", "fd66:1::1", "web", kind=28) == ["fd66:1::2"]
        assert host.resolve("client", "10.66.1.1", "nobody.dns.podman") == []
        assert host.inside("client", lambda: command("ip", "route")).split()[:5] == (
            ["default", "via", "10.66.1.1", "dev", "eth0"]
        )
        for one in (web, client):
            await component.detach(one, None)
            await component.detach(one, None)
        await component.remove(web.network)
        await component.close()

    host.play(story)
    assert host.state() == before


def test_networks_are_isolated_and_one_container_is_on_two(
    host: World, component: Netavark, tmp_path: Path
) -> None:
    before = host.state()
    one, two = network(1), network(2)
    web, other = request(host, "web", one, 2), request(host, "other", two, 2)
    both = [
        request(host, "both", one, 3),
        request(host, "both", two, 3, interface="eth1", default_route=False),
    ]
    host.serve("web", 80)

    async def story() -> None:
        await component.open()
        for wish in (web, other, *both):
            await component.attach(wish)
        for address in ("10.66.1.2", "fd66:1::2"):
            with pytest.raises(OSError, match="timed out"):
                host.ask("other", address, 80, timeout=0.5)
            assert host.ask("both", address, 80) == b"hello"
        assert host.resolve("other", "10.66.2.1", "web") == []
        assert host.resolve("both", "10.66.2.1", "other") == ["10.66.2.2"]
        assert host.resolve("both", "10.66.1.1", "web") == ["10.66.1.2"]
        routes = host.inside("both", lambda: command("ip", "route") + command("ip", "-6", "route"))
        assert [line.split()[2:5] for line in routes.splitlines() if line.startswith("default")] == [
            ["10.66.1.1", "dev", "eth0"],
            ["fd66:1::1", "dev", "eth0"],
        ]
        await component.detach(both[0], None)
        assert host.resolve("both", "10.66.2.1", "other") == ["10.66.2.2"]
        for wish in (web, other, both[1]):
            await component.detach(wish, None)
        await soon(lambda: not aardvark(tmp_path))
        await component.close()

    host.play(story)
    assert host.state() == before


def test_published_ports_are_reached_from_everywhere(host: World, component: Netavark) -> None:
    before = host.state()
    net = network(1)
    ports = (PortBinding(container_port=80, host_port=8080), PortBinding(container_port=53, protocol="udp"))
    web = request(host, "web", net, 2, ports=ports)
    client = request(host, "client", net, 3)
    host.serve("web", 80)
    host.serve("web", 53, udp=True, words=b"datagram")

    async def story() -> None:
        await component.open()
        made = await component.attach(web)
        await component.attach(client)
        assert [(p.container_port, p.host_port) for p in made.ports] == [
            (80, 8080),
            (53, made.ports[1].host_port),
        ]
        udp = made.ports[1].host_port
        assert udp
        for where, address in (
            ("host", "127.0.0.1"),
            ("host", HOST),
            ("remote", HOST),
            ("remote", HOST6),
            ("client", HOST),
            ("client", "10.66.1.1"),
            ("web", HOST),
        ):
            assert host.ask(where, address, 8080) == b"hello", (where, address)
            assert host.ask(where, address, udp, udp=True) == b"datagram", (where, address)
        with pytest.raises(ConnectionRefusedError):
            host.ask("host", "::1", 8080)  # netavark's rules do not reach it; it must not hang
        with pytest.raises(OSError, match="Address already in use"):
            socket.create_server(("127.0.0.1", 8080))
        await component.detach(web, made)
        with pytest.raises(ConnectionRefusedError):
            host.ask("remote", HOST, 8080)
        await component.detach(client, None)
        await component.close()

    host.play(story)
    assert host.state() == before


def test_a_published_port_is_for_other_networks_too(host: World, component: Netavark) -> None:
    before = host.state()
    web = request(host, "web", network(1), 2, ports=(PortBinding(container_port=80, host_port=8080),))
    others = [request(host, f"other{n}", network(n), 2) for n in (2, 3)]
    host.serve("web", 80)

    async def story() -> None:
        await component.open()
        for wish in (others[0], web, others[1]):
            await component.attach(wish)
        for name in ("other2", "other3"):
            for address in (HOST, HOST6):
                assert host.ask(name, address, 8080) == b"hello"
            with pytest.raises(OSError, match="timed out"):
                host.ask(name, "10.66.1.2", 80, timeout=0.5)
        for wish in (*others, web):
            await component.detach(wish, None)
        await component.close()

    host.play(story)
    assert host.state() == before


def test_a_taken_port_is_refused_in_dockers_words_and_leaves_nothing(
    host: World, component: Netavark
) -> None:
    before = host.state()
    net = network(1)
    first = request(host, "first", net, 2, ports=(PortBinding(container_port=80, host_port=8080),))
    second = request(host, "second", net, 3, ports=(PortBinding(container_port=81, host_port=8080),))
    third = request(
        host, "third", net, 4, ports=(PortBinding(container_port=80, host_ip="127.0.0.1", host_port=8081),)
    )

    async def story() -> None:
        await component.open()
        made = await component.attach(first)
        with pytest.raises(Conflict, match=r"^Bind for 0\.0\.0\.0:8080 failed: port is already allocated$"):
            await component.attach(second)
        with (
            socket.create_server(("127.0.0.1", 8081)),
            pytest.raises(Conflict, match=r"^Bind for 127\.0\.0\.1:8081 failed: port is already allocated$"),
        ):
            await component.attach(third)
        assert await component.attach(third)
        assert "eth0" not in host.inside("second", lambda: command("ip", "-br", "link"))
        await component.detach(first, made)
        assert (await component.attach(second)).ports[0].host_port == 8080
        await component.detach(second, None)
        await component.detach(third, None)
        await component.close()

    host.play(story)
    assert host.state() == before


def test_a_killed_aardvark_comes_back_by_itself(host: World, component: Netavark, tmp_path: Path) -> None:
    web, client = request(host, "web", network(1), 2), request(host, "client", network(1), 3)

    async def story() -> None:
        await component.open()
        await component.attach(web)
        await component.attach(client)
        for _ in range(2):
            old = aardvark(tmp_path)
            os.kill(old, signal.SIGKILL)
            for _ in range(100):
                await asyncio.sleep(0.05)
                if aardvark(tmp_path) not in (0, old):
                    break
            assert await soon(lambda: host.resolve("client", "10.66.1.1", "web", timeout=0.5)) == [
                "10.66.1.2"
            ]
        # Killed just before somebody joins: netavark would take the zombie for a server that runs.
        os.kill(aardvark(tmp_path), signal.SIGKILL)
        await component.attach(request(host, "late", network(1), 4))
        assert await soon(lambda: host.resolve("late", "10.66.1.1", "web", timeout=0.5)) == ["10.66.1.2"]
        for name, last in (("web", 2), ("client", 3), ("late", 4)):
            await component.detach(request(host, name, network(1), last), None)
        await soon(lambda: not aardvark(tmp_path))
        await component.close()

    host.play(story)


def test_a_second_life_takes_up_what_lives_and_clears_what_does_not(
    host: World, component: Netavark, tmp_path: Path
) -> None:
    before = host.state()
    net = network(1)
    web = request(host, "web", net, 2, ports=(PortBinding(container_port=80, host_port=8080),))
    gone = request(host, "gone", network(2), 2, ports=(PortBinding(container_port=80, host_port=8082),))
    client = request(host, "client", net, 3)
    host.serve("web", 80)
    made: dict[str, Attachment] = {}

    async def first() -> None:
        await component.open()
        for one in (web, client, gone):
            made[one.container_name] = await component.attach(one)
        component._ports.close()  # the daemon is killed: its sockets go, everything else stays
        component._aardvark.unwatch()

    host.play(first)
    os.kill(aardvark(tmp_path), signal.SIGKILL)
    host.drop("gone")

    async def second() -> None:
        again = second_life(tmp_path)
        await again.open()
        await again.recover([Endpoint(request=r, attachment=made[r.container_name]) for r in (web, client)])
        assert host.ask("remote", HOST, 8080) == b"hello"
        assert await soon(lambda: host.resolve("client", "10.66.1.1", "web")) == ["10.66.1.2"]
        with pytest.raises(Conflict, match="port is already allocated"):
            await again.attach(request(host, "late", net, 4, ports=web.ports))
        assert "10.66.2." not in host.state()
        assert "8082" not in host.state()
        assert await again.attach(web) == made["web"]
        for one in (web, client):
            await again.detach(one, made[one.container_name])
        await again.close()

    host.play(second)
    assert host.state() == before
    assert not aardvark(tmp_path)


def test_a_detach_after_the_sandbox_vanished_removes_rules_and_bridge(
    host: World, component: Netavark
) -> None:
    before = host.state()
    web = request(host, "web", network(1), 2, ports=(PortBinding(container_port=80, host_port=8080),))

    async def story() -> None:
        await component.open()
        made = await component.attach(web)
        host.drop("web")
        await component.detach(web, made)
        await component.close()

    host.play(story)
    assert host.state() == before


def test_after_a_reboot_the_same_containers_attach_again(
    host: World, component: Netavark, tmp_path: Path
) -> None:
    web, client = request(host, "web", network(1), 2), request(host, "client", network(1), 3)

    async def story(one: Netavark) -> None:
        await one.open()
        await one.recover([])
        await one.attach(web)
        await one.attach(client)
        assert host.resolve("client", "10.66.1.1", "web") == ["10.66.1.2"]

    host.play(lambda: story(component))
    os.kill(aardvark(tmp_path), signal.SIGKILL)
    command("rm", "-rf", *map(str, (tmp_path / "run/network/netavark").iterdir()))
    for name in ("web", "client"):
        host.drop(name)
        host.make(name)
    bridge = next(line for line in host.state().splitlines() if line.startswith("nv-"))
    host.inside("host", lambda: command("ip", "link", "del", bridge))
    host.inside("host", lambda: command("nft", "flush", "ruleset"))
    host.play(lambda: story(second_life(tmp_path)))


def test_a_failed_attach_leaves_nothing_behind(host: World, component: Netavark, tmp_path: Path) -> None:
    before = host.state()
    bad = request(
        host, "web", network(1), 2, mac="zz", ports=(PortBinding(container_port=80, host_port=8080),)
    )

    async def story() -> None:
        await component.open()
        with pytest.raises(RuntimeFailed, match=r"^netavark could not connect the container - "):
            await component.attach(bad)
        with pytest.raises(InvalidArgument, match=r"^invalid network alias 'a b' - "):
            await component.attach(replace(bad, mac="", aliases=("a b",)))
        socket.create_server(("127.0.0.1", 8080)).close()
        await component.close()

    host.play(story)
    assert host.state() == before
    assert list((tmp_path / "run/network/netavark/endpoints").iterdir()) == []


def test_names_by_the_engine_start_no_aardvark(host: World, tmp_path: Path) -> None:
    component = second_life(tmp_path, names="engine")

    async def story() -> None:
        await component.open()
        net = await component.plan(network(1))
        assert net.names == "engine"
        web = request(host, "web", net, 2)
        assert (await component.attach(web)).dns == ()
        assert not aardvark(tmp_path)
        await component.detach(web, None)
        await component.close()

    host.play(story)


def test_internal_mtu_and_no_names(host: World, component: Netavark) -> None:
    net = network(1, internal=True, names="none", options={"com.docker.network.driver.mtu": "1400"})
    web, client = request(host, "web", net, 2), request(host, "client", net, 3)
    host.serve("web", 80)

    async def story() -> None:
        await component.open()
        made = await component.attach(web)
        await component.attach(client)
        assert made.dns == ()
        assert host.ask("client", "10.66.1.2", 80) == b"hello"
        assert "mtu 1400" in host.inside("web", lambda: command("ip", "link", "show", "eth0"))
        assert "default" not in host.inside("web", lambda: command("ip", "route"))
        for one in (web, client):
            await component.detach(one, None)
        await component.close()

    host.play(story)


def test_macvlan_joins_the_network_of_its_parent(host: World, component: Netavark) -> None:
    before = host.state()
    pools = [{"Subnet": "192.0.2.0/24", "Gateway": "192.0.2.1"}]
    draft = network(1, driver="macvlan", ipam={"Config": pools}, options={"parent": "uplink"}, ipv6=False)

    async def story() -> None:
        await component.open()
        net = await component.plan(draft)
        assert (net.names, net.addressing, net.sandbox) == ("engine", "engine", "private")
        wish = request(host, "web", net, 2, ipv4="192.0.2.7/24", gateway4="192.0.2.1")
        host.serve("web", 80)
        made = await component.attach(wish)
        assert host.ask("remote", "192.0.2.7", 80) == b"hello"
        await component.detach(wish, made)
        await component.close()

    host.play(story)
    assert host.state() == before


def test_many_at_once_and_one_at_a_time_away(host: World, component: Netavark, tmp_path: Path) -> None:
    before = host.state()
    wishes = [
        request(host, f"c{n}", network(1 + n % 2), 10 + n, ports=(PortBinding(container_port=80),))
        for n in range(6)
    ]
    for n in range(6):
        host.serve(f"c{n}", 80, words=f"c{n}".encode())

    async def story() -> None:
        await component.open()
        made = await asyncio.gather(*map(component.attach, wishes))
        assert len({attachment.ports[0].host_port for attachment in made}) == 6
        for n, attachment in enumerate(made):
            assert host.ask("remote", HOST, attachment.ports[0].host_port) == f"c{n}".encode()
            assert host.resolve(f"c{n}", f"10.66.{1 + n % 2}.1", f"c{(n + 2) % 6}") == [
                f"10.66.{1 + n % 2}.{10 + (n + 2) % 6}"
            ]
        for n in range(5):
            await component.detach(wishes[n], made[n])
        assert host.ask("remote", HOST, made[5].ports[0].host_port) == b"c5"
        await asyncio.gather(component.detach(wishes[5], made[5]), component.detach(wishes[5], None))
        await component.close()

    host.play(story)
    assert host.state() == before


def test_chains_that_somebody_else_uses_are_left_alone(host: World, component: Netavark) -> None:
    """A Podman beside us has the same chains."""
    web = request(host, "web", network(1), 2, ports=(PortBinding(container_port=80, host_port=8080),))
    theirs = ("iptables", "-A", "NETAVARK_FORWARD", "-s", "10.200.0.0/24", "-j", "ACCEPT")

    async def story() -> None:
        await component.open()
        made = await component.attach(web)
        host.inside("host", lambda: command(*theirs))
        await component.detach(web, made)
        await component.remove(web.network)
        await component.close()

    host.play(story)
    rules = host.state()
    assert "-A NETAVARK_FORWARD -s 10.200.0.0/24 -j ACCEPT" in rules
    assert "10.66.1." not in rules


@pytest.mark.parametrize(
    ("error", "options", "words"),
    [
        (
            Unsupported,
            {"com.docker.network.bridge.enable_icc": "false"},
            "cannot create network net1 - netavark has no switch for traffic between the containers of one "
            "network (com.docker.network.bridge.enable_icc)",
        ),
        (
            Unsupported,
            {"com.docker.network.bridge.enable_ip_masquerade": "false"},
            "cannot create network net1 - netavark has no switch for masquerading "
            "(com.docker.network.bridge.enable_ip_masquerade)",
        ),
        (
            InvalidArgument,
            {"com.docker.network.driver.mtu": "12x"},
            "invalid com.docker.network.driver.mtu '12x' - it is a number from 68 to 65535",
        ),
        (
            InvalidArgument,
            {"com.docker.network.bridge.name": "../x"},
            "invalid com.docker.network.bridge.name '../x' - an interface name has up to 15 letters, "
            "digits, '_', '.', '-'",
        ),
    ],
)
def test_options_that_netavark_cannot_keep_are_refused(
    component: Netavark, error: type[Exception], options: dict[str, str], words: str
) -> None:
    with pytest.raises(error) as caught:
        asyncio.run(component.plan(network(1, options=options)))
    assert str(caught.value) == words
