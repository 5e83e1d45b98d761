"""network/remote with a real driver: a program of its own behind a unix socket."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moby_components.network.remote.component import Remote
from moby_py.errors import NotFound, RuntimeFailed, Unavailable
from moby_py.model import Attachment, AttachRequest, Endpoint, NetworkRecord, PortBinding, Sandbox
from moby_py.testing import NetworkContract
from moby_py.testing.room import make_context
from support.worlds import World, command, eventually, world

DRIVER = Path(__file__).parents[2] / "fixtures/libnetwork_driver/driver.py"
pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces"),
]


class TestContract(NetworkContract):
    component_class = Remote


class Plugin:
    """The driver as a process on the test's host; what it was told is in its state file."""

    def __init__(self, host: World, tmp_path: Path, *words: str) -> None:
        self._host = host
        self._words = words
        self.folder = tmp_path / "plugins"
        self.folder.mkdir(exist_ok=True)
        self.socket = self.folder / "weave.sock"
        self._state = tmp_path / "driver.json"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        argv = [sys.executable, str(DRIVER), str(self.socket), str(self._state), *self._words]
        self.socket.unlink(missing_ok=True)
        self._process = self._host.inside("host", lambda: subprocess.Popen(argv))
        eventually(self.socket.exists)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def state(self) -> dict[str, Any]:
        return json.loads(self._state.read_text())

    @property
    def calls(self) -> list[str]:
        return [method for method, _ in self.state["calls"]]

    @property
    def left(self) -> tuple[Any, ...]:
        """What it still holds."""
        return tuple(self.state[key] for key in ("networks", "endpoints", "pools"))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def plugin(host: World, tmp_path: Path) -> Iterator[Plugin]:
    made = Plugin(host, tmp_path)
    yield made
    made.kill()


@pytest.fixture
def component(tmp_path: Path) -> Remote:
    return second_life(tmp_path)


def second_life(tmp_path: Path) -> Remote:
    """The component as a new daemon makes it, on the same directories."""
    options = {"plugin_dirs": [str(tmp_path / "plugins")], "timeout": 2.0}
    return Remote(make_context(Remote, tmp_path, options=options))


def network(n: int = 1, **more: Any) -> NetworkRecord:
    pools = [
        {"Subnet": f"10.67.{n}.0/24", "Gateway": f"10.67.{n}.1"},
        {"Subnet": f"fd67:{n}::/64", "Gateway": f"fd67:{n}::1"},
    ]
    base = NetworkRecord(
        id=f"{n:064x}",
        name=f"net{n}",
        driver="weave",
        sandbox="private",
        addressing="engine",
        names="engine",
        ipv6=True,
        ipam={"Driver": "default", "Config": pools},
    )
    return replace(base, **more)


def request(host: World, name: str, net: NetworkRecord, last: int, **more: Any) -> AttachRequest:
    n = int(net.id, 16)
    path = host.path(name)
    base = AttachRequest(
        container_id=(name.encode().hex() * 64)[:64],
        container_name=name,
        network=net,
        sandbox=Sandbox(mode="private", path=str(path) if path.exists() else host.make(name)),
        endpoint_id=f"{n:056x}" + f"{name.encode().hex()}00000000"[:8],
        ipv4=f"10.67.{n}.{last}/24",
        ipv6=f"fd67:{n}::{last}/64",
        mac=f"02:42:0a:43:{n:02x}:{last:02x}",
    )
    return replace(base, **more)


def test_a_real_driver_serves_a_network_from_create_to_remove(
    host: World, plugin: Plugin, component: Remote
) -> None:
    before = host.state()
    ports = (PortBinding(container_port=80), PortBinding(container_port=53, protocol="udp", host_port=5353))

    async def story() -> None:
        assert component.takes("weave")
        net = await component.create(await component.plan(network()))
        web = request(host, "web", net, 2, ports=ports)
        client = request(host, "client", net, 3)
        host.serve("web", 80)
        made = await component.attach(web)
        assert made == Attachment(
            container_id=web.container_id,
            network_id=net.id,
            endpoint_id=web.endpoint_id,
            interface="eth0",
            mac="02:42:0a:43:01:02",
            ipv4="10.67.1.2/24",
            ipv6="fd67:1::2/64",
            gateway4="10.67.1.1",
            gateway6="fd67:1::1",
            ports=(replace(ports[0], host_port=40000), ports[1]),
        )
        assert await component.attach(web) == made
        await component.attach(client)
        for address in ("10.67.1.2", "fd67:1::2"):
            assert host.ask("client", address, 80) == b"hello"
            assert host.ask("host", address, 80) == b"hello"
        routes = host.inside("web", lambda: command("ip", "route"))
        assert "default via 10.67.1.1 dev eth0" in routes
        assert "198.51.100.0/24 via 10.67.1.1 dev eth0" in routes
        assert "02:42:0a:43:01:02" in host.inside("web", lambda: command("ip", "link", "show", "eth0"))
        for one in (web, client):
            await component.detach(one, None)
            await component.detach(one, None)
        await component.remove(net)
        await component.remove(net)

    host.play(story)
    assert host.state() == before
    assert plugin.left == ({}, {}, {})
    assert plugin.calls == [
        "Plugin.Activate",
        "NetworkDriver.GetCapabilities",
        "NetworkDriver.CreateNetwork",
        "NetworkDriver.CreateEndpoint",
        "NetworkDriver.Join",
        "NetworkDriver.ProgramExternalConnectivity",
        "NetworkDriver.EndpointOperInfo",
        "NetworkDriver.CreateEndpoint",
        "NetworkDriver.Join",
        *["NetworkDriver.RevokeExternalConnectivity", "NetworkDriver.Leave", "NetworkDriver.DeleteEndpoint"]
        * 2,
        "NetworkDriver.DeleteNetwork",
    ]


def test_addresses_of_a_remote_ipam_come_and_go(host: World, plugin: Plugin, component: Remote) -> None:
    before = host.state()
    draft = network(ipam={"Driver": "weave", "Options": {"zone": "a"}, "Config": []})

    async def story() -> None:
        net = await component.plan(draft)
        assert net.addressing == "component"
        net = await component.create(net)
        assert net.ipam == {
            "Driver": "weave",
            "Options": {"zone": "a"},
            "Config": [
                {"Subnet": "10.77.0.0/24", "Gateway": "10.77.0.1"},
                {"Subnet": "fd77::/64", "Gateway": "fd77::1"},
            ],
        }
        assert (await component.create(net)).ipam == net.ipam
        web = request(host, "web", net, 2, ipv4="", ipv6="")
        fixed = request(host, "fixed", net, 3, ipv4="10.77.0.9", ipv6="")
        host.serve("web", 80)
        made = await component.attach(web)
        assert (made.ipv4, made.ipv6) == ("10.77.0.2/24", "fd77::2/64")
        assert (await component.attach(fixed)).ipv4 == "10.77.0.9/24"
        assert host.ask("fixed", "10.77.0.2", 80) == b"hello"
        with pytest.raises(RuntimeFailed, match=r"^remote: address already in use$"):
            await component.attach(request(host, "third", net, 4, ipv4="10.77.0.9", ipv6=""))
        for one in (web, fixed):
            await component.detach(one, None)
        assert [pool["taken"] for pool in plugin.state["pools"].values()] == [["10.77.0.1"], ["fd77::1"]]
        await component.remove(net)

    host.play(story)
    assert host.state() == before
    assert plugin.left == ({}, {}, {})


def test_a_driver_that_is_down_is_waited_for_by_nobody(
    host: World, plugin: Plugin, component: Remote, tmp_path: Path
) -> None:
    before = host.state()
    net = network()
    web = request(host, "web", net, 2)

    async def story() -> None:
        await component.create(net)
        made = await component.attach(web)
        plugin.kill()
        again = second_life(tmp_path)
        assert again.takes("weave")
        await again.open()
        assert await again.create(net) == net  # the platform comes up
        await again.recover([Endpoint(request=web, attachment=made)])
        assert await again.attach(web) == made  # and what runs, runs on
        late = request(host, "late", net, 3)
        with pytest.raises(Unavailable) as caught:
            await again.attach(late)
        assert str(caught.value) == (
            "legacy plugin: plugin weave does not answer Plugin.Activate - Connection refused"
        )
        assert caught.value.hint == f"start the plugin that listens at unix://{plugin.socket}"
        await again.detach(web, made)
        assert "eth0" not in host.inside("web", lambda: command("ip", "-br", "link"))
        plugin.socket.unlink()
        assert again.takes("weave")  # there is a network of it
        with pytest.raises(NotFound, match=r'^plugin "weave" not found$'):
            await again.attach(late)
        plugin.start()
        await again.attach(late)  # the next use finds it again, and tells what it missed
        assert list(plugin.state["endpoints"]) == [late.endpoint_id]
        await again.detach(late, None)
        await again.remove(net)

    host.play(story)
    assert host.state() == before
    assert plugin.left == ({}, {}, {})


def test_a_crash_in_the_middle_of_an_attach_is_undone(
    host: World, plugin: Plugin, component: Remote, tmp_path: Path
) -> None:
    before = host.state()
    draft = network(ipam={"Driver": "weave", "Config": []})

    async def story() -> None:
        net = await component.create(await component.plan(draft))
        web, other = (request(host, name, net, 2, ipv4="", ipv6="") for name in ("web", "other"))
        await component.attach(web)
        record = component._endpoints.get(web.endpoint_id)
        assert record is not None
        component._endpoints.put(web.endpoint_id, {**record, "attachment": None})  # never came to its end
        await component.attach(other)
        host.drop("other")  # and this container is gone with its sandbox
        again = second_life(tmp_path)
        await again.create(net)
        await again.recover([])
        assert plugin.state["endpoints"] == {}
        assert [pool["taken"] for pool in plugin.state["pools"].values()] == [["10.77.0.1"], ["fd77::1"]]
        assert "eth0" not in host.inside("web", lambda: command("ip", "-br", "link"))
        await again.attach(web)
        await again.detach(web, None)
        await again.remove(net)

    host.play(story)
    assert host.state() == before


def test_after_a_reboot_the_driver_hears_of_its_networks_again(
    host: World, plugin: Plugin, component: Remote, tmp_path: Path
) -> None:
    net = network()
    web = request(host, "web", net, 2)

    async def first() -> None:
        await component.create(net)
        await component.attach(web)

    host.play(first)
    plugin.kill()
    (tmp_path / "driver.json").unlink()  # this one forgets
    host.inside("host", lambda: command("ip", "link", "del", "tb" + net.id[-8:]))
    host.drop("web")
    host.make("web")
    record = component._networks.get(net.id)
    assert record is not None
    component._networks.put(net.id, {**record, "boot": "another"})
    host.serve("web", 80)

    async def second() -> None:
        again = second_life(tmp_path)
        assert await again.create(net) == net
        await again.recover([])
        plugin.start()
        await again.attach(web)
        assert host.ask("host", "10.67.1.2", 80) == b"hello"
        await again.detach(web, None)
        await again.remove(net)

    host.play(second)
    assert plugin.left == ({}, {}, {})


def test_optional_calls_may_be_missing(host: World, tmp_path: Path, component: Remote) -> None:
    plugin = Plugin(host, tmp_path, "--without-program")

    async def story() -> None:
        net = await component.create(network())
        web = request(host, "web", net, 2, ports=(PortBinding(container_port=80),))
        assert (await component.attach(web)).ports[0].host_port == 40000
        await component.detach(web, None)
        await component.remove(net)

    try:
        host.play(story)
        assert plugin.left == ({}, {}, {})
    finally:
        plugin.kill()


def test_a_plugin_nobody_knows_is_refused_in_dockers_words(component: Remote, tmp_path: Path) -> None:
    for word in ("nobody", "../x", "a/b", ""):
        assert not component.takes(word)
    with pytest.raises(NotFound, match=r'^plugin "nobody" not found$'):
        asyncio.run(component.plan(network(driver="nobody")))
