"""network/cni with Debian's plugins in real namespaces: reach, ports, isolation, and nothing left."""

from __future__ import annotations

import asyncio
import json
import stat
import time
from pathlib import Path

import pytest

from moby_py.errors import Conflict
from moby_py.model import PortBinding
from support.cni import Rig, id_of, left, rig
from support.worlds import HOST, command, soon

pytestmark = pytest.mark.root


def addresses(rig: Rig, container: str, interface: str = "eth0") -> list[str]:
    shown = rig.world.inside(container, lambda: command("ip", "-j", "addr", "show", interface))
    return [
        f"{a['local']}/{a['prefixlen']}" for a in json.loads(shown)[0]["addr_info"] if a["scope"] == "global"
    ]


def routes(rig: Rig, container: str) -> list[str]:
    shown = rig.world.inside(container, lambda: command("ip", "route") + command("ip", "-6", "route"))
    return [line.split(" dev")[0] for line in shown.splitlines() if line.startswith("default")]


async def reached(rig: Rig, *args: object, **more: object) -> bytes | None:
    try:
        return await asyncio.to_thread(rig.world.ask, *args, timeout=1.0, **more)  # type: ignore[arg-type]
    except OSError:
        return None


def test_two_containers_reach_each_other_and_the_world(tmp_path: Path) -> None:
    with rig(tmp_path) as it:

        async def story() -> None:
            default = await it.default()
            assert (default.name, default.addressing, default.names) == ("bridge", "engine", "none")
            a = await it.join("a", default, "10.71.0.2")
            await it.join("b", default, "10.71.0.3")
            assert a.ipv4 == "10.71.0.2/16"
            assert a.gateway4 == "10.71.0.1"
            assert a.mac == it.endpoints[id_of("a"), default.id].request.mac
            assert a.interface == "eth0"
            assert addresses(it, "a") == ["10.71.0.2/16"]
            assert routes(it, "a") == ["default via 10.71.0.1"]
            it.world.serve("b", 80)
            it.world.serve("remote", 80, words=b"remote")
            it.world.serve("host", 81, words=b"host")
            assert await reached(it, "a", "10.71.0.3", 80) == b"hello"
            assert await reached(it, "host", "10.71.0.3", 80) == b"hello"
            assert await reached(it, "a", "10.71.0.1", 81) == b"host"
            assert await reached(it, "a", "192.0.2.2", 80) == b"remote"
            assert "up" in it.world.inside("a", lambda: command("ip", "-br", "link", "show", "lo")).lower()
            await it.end()
            assert left(it.world) == []

        it.world.play(story)


def test_ports_from_everywhere(tmp_path: Path) -> None:
    """TCP and UDP, from the host by 127.0.0.1 and its address, from a remote machine, from a neighbour
    and from the container itself (hairpin)."""
    with rig(tmp_path) as it:

        async def story() -> None:
            default = await it.default()
            wanted = [
                PortBinding(container_port=80, host_port=18080),
                PortBinding(container_port=53, host_port=15353, protocol="udp"),
                PortBinding(container_port=80),
            ]
            made = await it.join("web", default, ports=wanted)
            await it.join("other", default)
            await it.join("far", await it.network("app"))
            tcp, tcp6, udp, chosen, _ = made.ports
            assert (tcp6.host_ip, tcp6.host_port) == ("::", 18080)
            assert (tcp.host_ip, tcp.host_port) == ("0.0.0.0", 18080)
            assert (udp.host_port, udp.protocol) == (15353, "udp")
            assert chosen.host_port > 1024
            it.world.serve("web", 80)
            it.world.serve("web", 53, udp=True, words=b"udp")
            for where, address in (
                ("host", "127.0.0.1"),
                ("far", HOST),
                ("host", HOST),
                ("remote", HOST),
                ("other", HOST),
                ("web", HOST),
            ):
                for port in (18080, chosen.host_port):
                    assert await reached(it, where, address, port) == b"hello", (where, address, port)
                assert await reached(it, where, address, 15353, udp=True) == b"udp", (where, address)
            for address in ("::1", "fd00:2::1"):  # it has no IPv6: carried over
                assert await reached(it, "host", address, 18080) == b"hello"
            await it.leave("web", default)
            assert await reached(it, "remote", HOST, 18080) is None
            assert await reached(it, "host", "::1", 18080) is None
            await it.end()
            assert left(it.world) == []

        it.world.play(story)


def test_a_taken_port_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    with rig(tmp_path) as it:

        async def story() -> None:
            default = await it.default()
            await it.join("first", default, ports=[PortBinding(container_port=80, host_port=18080)])
            again = [
                PortBinding(container_port=1, host_port=0),
                PortBinding(container_port=80, host_port=18080),
            ]
            with pytest.raises(
                Conflict, match=r"^Bind for 0\.0\.0\.0:18080 failed: port is already allocated$"
            ):
                await it.join("second", default, ports=again)
            assert [p.name for p in (tmp_path / "r/state/network/cni/notes").glob("*.json")] == [
                f"{id_of('first')}.{default.id}.json"
            ]
            it.world.serve("host", 18081)
            taken = r"^failed to bind host port for 0\.0\.0\.0:18081:[\d.]+:80/tcp: address already in use$"
            with pytest.raises(Conflict, match=taken):
                await it.join("second", default, ports=[PortBinding(container_port=80, host_port=18081)])
            await it.leave("first", default)
            await it.join("second", default, ports=[PortBinding(container_port=80, host_port=18080)])
            await it.end()

        it.world.play(story)


def test_networks_are_apart_and_an_internal_one_has_no_way_out(tmp_path: Path) -> None:
    with rig(tmp_path) as it:

        async def story() -> None:
            default = await it.default()
            app = await it.network("app", "10.72.0.0/24")
            inner = await it.network("inner", "10.73.0.0/24", internal=True)
            assert app.names == "engine"
            a = await it.join("a", default)
            b = await it.join("b", app)
            c = await it.join("c", inner)
            d = await it.join("d", inner)
            for name in "abcd":
                it.world.serve(name, 80)
            it.world.serve("remote", 80)
            await it.join("b", inner, interface="eth1", default_route=False)
            assert routes(it, "b") == ["default via 10.72.0.1"]
            assert routes(it, "c") == []
            assert (c.gateway4, c.gateway6) == ("", "")
            ip = {n: x.ipv4.partition("/")[0] for n, x in (("a", a), ("b", b), ("c", c), ("d", d))}
            assert await reached(it, "a", ip["b"], 80) is None
            assert await reached(it, "b", ip["a"], 80) is None
            assert await reached(it, "c", ip["d"], 80) == b"hello"
            assert await reached(it, "b", ip["c"], 80) == b"hello"  # by its second interface
            assert await reached(it, "host", ip["c"], 80) is None
            # Not even with a route that it makes for itself over the bridge.
            mac = it.world.inside("host", lambda: command("ip", "-j", "link"))
            bridge = next(x for x in json.loads(mac) if x["ifname"] == bridge_of(it, "inner"))

            def escape() -> None:
                command("ip", "route", "add", "default", "dev", "eth0")
                command("ip", "neigh", "replace", "192.0.2.2", "lladdr", bridge["address"], "dev", "eth0")

            it.world.inside("c", escape)
            it.world.inside("remote", lambda: command("ip", "route", "add", "10.73.0.0/24", "via", HOST))
            it.world.inside("host", lambda: command("sysctl", "-q", "-w", "net.ipv4.ip_forward=1"))
            assert await reached(it, "c", "192.0.2.2", 80) is None
            await it.end()
            assert left(it.world) == []

        it.world.play(story)


def bridge_of(it: Rig, name: str) -> str:
    path = tmp = it.root / "state/network/cni/networks" / f"{id_of(name)}.conflist"
    assert tmp.exists()
    return str(json.loads(path.read_text())["plugins"][0]["bridge"])


def test_ipv6_and_options(tmp_path: Path) -> None:
    with rig(tmp_path) as it:

        async def story() -> None:
            app = await it.network(
                "app",
                "10.72.0.0/24",
                gateway="",
                six="fd00:72::/64",
                options={"com.docker.network.driver.mtu": "1400", "com.docker.network.bridge.name": "mine0"},
            )
            begun = time.monotonic()
            a = await it.join(
                "a",
                app,
                "10.72.0.9",
                "fd00:72::9/64",
                ports=[PortBinding(container_port=80, host_port=18080)],
            )
            took = time.monotonic() - begun
            await it.join("b", app, "10.72.0.10", "fd00:72::a/64")
            assert (a.ipv6, a.gateway6) == ("fd00:72::9/64", "fd00:72::1")
            assert [(p.host_ip, p.host_port) for p in a.ports] == [("0.0.0.0", 18080), ("::", 18080)]
            assert took < 1.0, "no wait for duplicate address detection"
            assert routes(it, "a") == ["default via 10.72.0.1", "default via fd00:72::1"]
            it.world.serve("a", 80)
            assert await reached(it, "b", "fd00:72::9", 80) == b"hello"
            assert await reached(it, "host", "::1", 18080) == b"hello"
            # The bridge plugin lets the kernel look for a second owner of the gateway's address: a second.
            await soon(lambda: it.world.ask("remote", "fd00:2::1", 18080) == b"hello")
            links = json.loads(it.world.inside("host", lambda: command("ip", "-j", "link")))
            assert {x["ifname"]: x["mtu"] for x in links}["mine0"] == 1400
            inside = json.loads(it.world.inside("a", lambda: command("ip", "-j", "link", "show", "eth0")))
            assert inside[0]["mtu"] == 1400
            await it.end()
            assert left(it.world) == []

        it.world.play(story)


def test_the_gateway_is_the_engines_word(tmp_path: Path) -> None:
    with rig(tmp_path) as it:

        async def story() -> None:
            app = await it.network("app", "10.72.0.0/24", gateway="10.72.0.254")
            await it.join("a", app)
            assert routes(it, "a") == ["default via 10.72.0.254"]
            shown = it.world.inside("host", lambda: command("ip", "-br", "addr"))
            assert "10.72.0.254/24" in shown
            assert "10.72.0.1/24" not in shown
            await it.end()

        it.world.play(story)


def test_attach_and_detach_are_idempotent(tmp_path: Path) -> None:
    with rig(tmp_path) as it:

        async def story() -> None:
            default = await it.default()
            request = it.request("a", default, ports=[PortBinding(container_port=80)])
            first = await it.attach(request)
            before = it.world.state()
            assert await it.attach(request) == first
            assert it.world.state() == before
            note = tmp_path / "r/state/network/cni/notes" / f"{id_of('a')}.{default.id}.json"
            assert stat.S_IMODE(note.stat().st_mode) == 0o600
            assert stat.S_IMODE(note.parent.stat().st_mode) == 0o700
            await it.component.detach(request, first)
            await it.component.detach(request, first)
            await it.component.detach(request, None)
            assert list(note.parent.iterdir()) == []
            await it.component.remove(await it.network("app"))
            await it.component.remove(it.records["app"])
            await it.end()
            assert left(it.world) == []

        it.world.play(story)


def test_ten_at_once(tmp_path: Path) -> None:
    with rig(tmp_path) as it:

        async def story() -> None:
            default = await it.default()
            names = [f"c{n}" for n in range(10)]
            await asyncio.gather(
                *(
                    it.join(n, default, f"10.71.1.{i + 1}", ports=[PortBinding(container_port=80)])
                    for i, n in enumerate(names)
                )
            )
            for name in names:
                it.world.serve(name, 80, words=name.encode())
            for name in names:
                port = it.endpoints[id_of(name), default.id].attachment.ports[0].host_port
                assert await reached(it, "remote", HOST, port) == name.encode()
            await asyncio.gather(*(it.leave(n, default) for n in names))
            await it.end()
            assert left(it.world) == []

        it.world.play(story)


def test_a_container_does_not_reach_the_hosts_loopback(tmp_path: Path) -> None:
    """portmap opens 127.0.0.0/8 to packets from the bridge (route_localnet); our table closes it."""
    with rig(tmp_path) as it:

        async def story() -> None:
            default = await it.default()
            await it.join("a", default, ports=[PortBinding(container_port=80, host_port=18080)])
            it.world.serve("host", 8888)

            def trick() -> None:
                command("ip", "link", "set", "lo", "down")
                command("sysctl", "-q", "-w", "net.ipv4.conf.all.route_localnet=1")
                command("ip", "route", "add", "127.0.0.1/32", "via", "10.71.0.1")

            it.world.inside("a", trick)
            assert await reached(it, "a", "127.0.0.1", 8888) is None
            await it.end()

        it.world.play(story)


def test_with_a_firewall_that_drops_forwarding(tmp_path: Path) -> None:
    """The host's own policy for published ports stays in force; the way out is the firewall plugin's."""
    with rig(tmp_path) as it:

        async def story() -> None:
            default = await it.default()
            it.world.inside("host", lambda: command("iptables", "-P", "FORWARD", "DROP"))
            await it.join("a", default, ports=[PortBinding(container_port=80, host_port=18080)])
            it.world.serve("a", 80)
            it.world.serve("remote", 80)
            assert await reached(it, "a", "192.0.2.2", 80) == b"hello"
            assert await reached(it, "remote", HOST, 18080) is None
            assert await reached(it, "host", "127.0.0.1", 18080) == b"hello"
            await it.end()

        it.world.play(story)
