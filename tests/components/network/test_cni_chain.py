"""Chains: what a blueprint adds, lists of one's own, drivers other than bridge - with the real plugins."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import subprocess
import time
from pathlib import Path

import pytest

from moby_py.errors import InvalidArgument, Unsupported
from moby_py.model import PortBinding
from support.cni import Rig, id_of, left, rig
from support.worlds import HOST, command, soon

pytestmark = pytest.mark.root


def sysctl(it: Rig, container: str, name: str) -> str:
    return it.world.inside(container, lambda: command("sysctl", "-n", name)).strip()


def received(it: Rig, container: str, address: str, amount: int) -> float:
    """Seconds that `amount` bytes from the host take to get into the container."""

    def listen() -> socket.socket:
        server = socket.create_server(("", 7))
        server.settimeout(20)
        return server

    def send() -> None:
        with socket.create_connection((address, 7), timeout=20) as link, contextlib.suppress(OSError):
            link.sendall(b"x" * amount)

    with it.world.inside(container, listen) as server:
        import threading

        sender = threading.Thread(target=lambda: it.world.inside("host", send))
        sender.start()
        link, _peer = server.accept()
        with link:
            begun, got = time.monotonic(), 0
            while got < amount:
                piece = link.recv(65536)
                assert piece
                got += len(piece)
        sender.join()
    return time.monotonic() - begun


def test_the_blueprints_chain_is_in_the_default_and_in_user_networks(tmp_path: Path) -> None:
    chain = [
        {"type": "tuning", "sysctl": {"net.core.somaxconn": "511"}},
        {"type": "bandwidth", "ingressRate": 8_000_000, "ingressBurst": 800_000},
        {"type": "firewall", "iptablesAdminChainName": "MY-ADMIN"},
    ]
    with rig(tmp_path, chain=chain) as it:

        async def story() -> None:
            for network in (await it.default(), await it.network("app")):
                name = f"in-{network.name}"
                made = await it.join(name, network)
                assert sysctl(it, name, "net.core.somaxconn") == "511"
                address = made.ipv4.partition("/")[0]
                took = await asyncio.to_thread(received, it, name, address, 1_500_000)
                assert 0.8 < took < 5, "1.5 MB at 1 MB/s, the first 0.1 MB at once"
            rules = it.world.inside("host", lambda: command("iptables", "-S"))
            assert "-A CNI-FORWARD" in rules
            assert "MY-ADMIN" in rules
            assert not Path("/run/cni/tuning", f"{id_of('in-app')}_eth0.json").exists()
            await it.end()
            assert [x for x in left(it.world) if "MY-ADMIN" not in x and "-j CNI-FORWARD" not in x] == []

        it.world.play(story)


def test_bandwidth_by_the_options_of_network_and_endpoint(tmp_path: Path) -> None:
    with rig(tmp_path) as it:

        async def story() -> None:
            slow = await it.network(
                "slow", options={"bandwidth.ingress": "8m", "bandwidth.ingress_burst": "1m"}
            )
            a = await it.join("a", slow)
            b = await it.join("b", slow, options={"bandwidth.ingress": "1g"})
            took = [
                await asyncio.to_thread(received, it, n, x.ipv4.partition("/")[0], 1_500_000)
                for n, x in (("a", a), ("b", b))
            ]
            assert took[0] > 0.8
            assert took[1] < took[0] / 2
            await it.end()
            assert left(it.world) == []
            with pytest.raises(
                InvalidArgument,
                match=r"^invalid bandwidth.egress: fast - it is a number of bits, such as 10m for 10 Mbit/s$",
            ):
                await it.network("wrong", options={"bandwidth.egress": "fast"})

        it.world.play(story)


LIST = {
    "cniVersion": "0.4.0",
    "name": "lab-net",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "lab0",
            "isGateway": True,
            "ipMasq": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": "10.80.0.0/24", "rangeStart": "10.80.0.20"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
        {"type": "tuning", "capabilities": {"mac": True}},
    ],
    "disableCheck": False,
}


def test_a_list_of_ones_own_has_its_own_addresses(tmp_path: Path) -> None:
    file = tmp_path / "lab.conflist"
    file.write_text(json.dumps(LIST))
    with rig(tmp_path, networks={"lab": str(file)}) as it:

        async def story() -> None:
            await it.default()
            record = next(n for n in it.component.predefined() if n.name == "lab")
            assert (record.addressing, record.names, record.sandbox) == ("component", "engine", "private")
            assert record.ipam["Config"] == [{"Subnet": "10.80.0.0/24"}]
            from dataclasses import replace

            lab = await it.create(replace(record, id=id_of("lab")))
            a = await it.join("a", lab, ports=[PortBinding(container_port=80, host_port=18080)])
            assert (a.ipv4, a.gateway4) == ("10.80.0.20/24", "10.80.0.1")
            b = await it.join("b", lab, ip="10.80.0.77", mac="02:42:00:00:00:77")
            assert (b.ipv4, b.mac) == ("10.80.0.77/24", "02:42:00:00:00:77")
            it.world.serve("a", 80)
            assert await soon(lambda: it.world.ask("remote", HOST, 18080)) == b"hello"
            assert await soon(lambda: it.world.ask("b", "10.80.0.20", 80)) == b"hello"
            leases = it.root / "state/network/cni/ipam/lab-net"
            assert {p.name for p in leases.glob("10.*")} == {"10.80.0.20", "10.80.0.77"}
            await it.again()
            await it.leave("a", lab)
            assert {p.name for p in leases.glob("10.*")} == {"10.80.0.77"}
            await it.end()
            assert {p.name for p in leases.glob("10.*")} == set()
            assert left(it.world) == []
            assert not Path("/var/lib/cni/networks/lab-net").exists()

        it.world.play(story)


def test_a_list_named_bridge_is_the_default_network(tmp_path: Path) -> None:
    inline = {"plugins": [{"type": "ptp", "ipMasq": True, "ipam": {"type": "static"}}, {"type": "firewall"}]}
    with rig(tmp_path, networks={"bridge": inline}) as it:

        async def story() -> None:
            names = [(n.name, n.addressing, n.names) for n in it.component.predefined()]
            assert names == [
                ("bridge", "engine", "none"),
                ("host", "none", "none"),
                ("none", "none", "none"),
            ]
            default = await it.default()
            await it.join("a", default, "10.71.0.9")
            it.world.serve("a", 80)
            assert await soon(lambda: it.world.ask("host", "10.71.0.9", 80)) == b"hello"
            with pytest.raises(
                Unsupported,
                match=r"^network bridge cannot publish ports - no plugin of its chain takes portMappings$",
            ):
                await it.join("b", default, ports=[PortBinding(container_port=80, host_port=18080)])
            await it.join("c", default, ports=())
            await it.end()
            assert left(it.world) == []

        it.world.play(story)


def test_ptp(tmp_path: Path) -> None:
    with rig(tmp_path) as it:

        async def story() -> None:
            app = await it.network("app", "10.72.0.0/24", driver="ptp")
            await it.join("a", app, "10.72.0.9", ports=[PortBinding(container_port=80, host_port=18080)])
            b = await it.join("b", app, "10.72.0.10")
            assert b.mac == it.endpoints[id_of("b"), app.id].request.mac
            it.world.serve("a", 80)
            it.world.serve("remote", 80, words=b"remote")
            assert await soon(lambda: it.world.ask("b", "10.72.0.9", 80)) == b"hello"
            assert await soon(lambda: it.world.ask("b", "192.0.2.2", 80)) == b"remote"
            assert await soon(lambda: it.world.ask("remote", HOST, 18080)) == b"hello"
            await it.again()
            assert await soon(lambda: it.world.ask("remote", HOST, 18080)) == b"hello"
            await it.end()
            assert left(it.world) == []

        it.world.play(story)


def test_macvlan_by_its_plugin(tmp_path: Path) -> None:
    with rig(tmp_path) as it:

        async def story() -> None:
            with pytest.raises(
                Unsupported, match=r"^network app: the CNI macvlan plugin needs a parent interface$"
            ):
                await it.network("app", driver="macvlan")
            lan = await it.network("lan", "192.0.2.0/24", driver="macvlan", options={"parent": "uplink"})
            await it.join("a", lan, "192.0.2.9", default_route=False)
            await it.join("b", lan, "192.0.2.10", default_route=False)
            it.world.serve("a", 80)
            assert await soon(lambda: it.world.ask("remote", "192.0.2.9", 80)) == b"hello"
            assert await soon(lambda: it.world.ask("b", "192.0.2.9", 80)) == b"hello"
            await it.again()
            await it.end()
            assert left(it.world) == []

        it.world.play(story)


def test_a_bridge_that_was_there_before_stays(tmp_path: Path) -> None:
    with rig(tmp_path) as it:

        async def story() -> None:
            it.world.inside("host", lambda: command("ip", "link", "add", "office0", "type", "bridge"))
            app = await it.network("app", options={"com.docker.network.bridge.name": "office0"})
            await it.join("a", app)
            await it.again()
            await it.end()
            assert left(it.world) == ["office0"]

        it.world.play(story)


UDHCPD = """start 10.81.0.50
end 10.81.0.60
interface dhcp0
lease_file {folder}/leases
pidfile {folder}/pid
option subnet 255.255.255.0
option router 10.81.0.1
"""


def test_addresses_by_dhcp(tmp_path: Path) -> None:
    """The dhcp plugin's daemon is a service of the component; a real server gives the address."""
    inline = {
        "name": "lan-by-dhcp",
        "plugins": [{"type": "macvlan", "master": "lan0", "ipam": {"type": "dhcp"}}],
    }
    with rig(tmp_path, networks={"lan": inline}) as it:
        (tmp_path / "leases").touch()
        (tmp_path / "udhcpd.conf").write_text(UDHCPD.format(folder=tmp_path))
        it.world.make("router")

        def wire() -> None:
            command("ip", "link", "add", "lan0", "type", "veth", "peer", "name", "dhcp0")
            command("ip", "link", "set", "lan0", "up")
            sleeper = it.world.inside("router", lambda: subprocess.Popen(["sleep", "30"]))
            try:
                command("ip", "link", "set", "dhcp0", "netns", str(sleeper.pid))
            finally:
                sleeper.kill()
                sleeper.wait()

        def serve() -> subprocess.Popen[bytes]:
            command("ip", "addr", "add", "10.81.0.1/24", "dev", "dhcp0")
            command("ip", "link", "set", "dhcp0", "up")
            return subprocess.Popen(
                ["busybox", "udhcpd", "-f", "-S", str(tmp_path / "udhcpd.conf")],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

        it.world.inside("host", wire)
        server = it.world.inside("router", serve)
        (service,) = it.component.services()
        daemon = it.world.inside("host", lambda: subprocess.Popen(service.argv, stderr=subprocess.DEVNULL))
        try:

            async def story() -> None:
                from dataclasses import replace

                await it.default()
                record = next(n for n in it.component.predefined() if n.name == "lan")
                assert service.ready is not None
                await soon(service.ready.exists)
                lan = await it.create(replace(record, id=id_of("lan")))
                a = await it.join("a", lan)
                assert re.fullmatch(r"10\.81\.0\.\d+/24", a.ipv4)
                assert a.gateway4 == "10.81.0.1"
                it.world.serve("a", 80)
                assert await soon(lambda: it.world.ask("router", a.ipv4.partition("/")[0], 80)) == b"hello"
                await it.end()

            it.world.play(story)
        finally:
            for process in (daemon, server):
                process.kill()
                process.wait()
