"""network/macvlan over a real parent: a veth end that plays the LAN's cable."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest

from moby_components.common.netns import run_in
from moby_py.errors import Conflict, InvalidArgument, MobyError, NotFound, RuntimeFailed, Unavailable
from moby_py.model import PortBinding
from support.cni import Rig, id_of, left, macvlan_rig
from support.worlds import command, soon

pytestmark = pytest.mark.root

LAN = "192.0.2.0/24"


def links(it: Rig, where: str) -> dict[str, dict[str, object]]:
    shown = json.loads(it.world.inside(where, lambda: command("ip", "-d", "-j", "link")))
    return {link["ifname"]: link for link in shown}


async def silent(it: Rig, where: str, address: str) -> bool:
    try:
        await asyncio.to_thread(it.world.ask, where, address, 80, timeout=1.0)
    except OSError:
        return True
    return False


def test_containers_are_on_the_lan(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with macvlan_rig(tmp_path) as it:

        async def story() -> None:
            lan = await it.network(
                "lan", LAN, driver="macvlan", options={"parent": "uplink"}, gateway="192.0.2.2"
            )
            assert (lan.sandbox, lan.addressing, lan.names, lan.internal) == (
                "private",
                "engine",
                "engine",
                False,
            )
            a = await it.join("a", lan, "192.0.2.9")
            await it.join("b", lan, "192.0.2.10", ports=[PortBinding(container_port=80, host_port=8080)])
            assert (a.ipv4, a.gateway4, a.mac) == (
                "192.0.2.9/24",
                "192.0.2.2",
                it.endpoints[id_of("a"), lan.id].request.mac,
            )
            it.world.serve("a", 80)
            it.world.serve("remote", 80, words=b"remote")
            assert await soon(lambda: it.world.ask("remote", "192.0.2.9", 80)) == b"hello"
            assert await soon(lambda: it.world.ask("b", "192.0.2.9", 80)) == b"hello"
            assert await soon(lambda: it.world.ask("a", "192.0.2.2", 80)) == b"remote"
            assert await silent(it, "host", "192.0.2.9"), "the kernel keeps a macvlan from its own host"
            route = it.world.inside("a", lambda: command("ip", "route", "show", "default"))
            assert route.split(" dev")[0] == "default via 192.0.2.2"
            assert links(it, "a")["eth0"]["address"] == a.mac
            assert "published ports of b are ignored" in caplog.text
            assert it.endpoints[id_of("b"), lan.id].attachment.ports == ()
            await it.end()
            assert left(it.world) == []
            assert "eth0" not in links(it, "a")

        with caplog.at_level(logging.WARNING):
            it.world.play(story)


def test_modes_ipv6_and_mtu(tmp_path: Path) -> None:
    with macvlan_rig(tmp_path) as it:

        async def story() -> None:
            options = {"parent": "uplink", "macvlan_mode": "private", "com.docker.network.driver.mtu": "1300"}
            lan = await it.network("lan", LAN, driver="macvlan", six="fd00:2::/64", options=options)
            await it.join("a", lan, "192.0.2.9", "fd00:2::9/64")
            await it.join("b", lan, "192.0.2.10", "fd00:2::a/64")
            it.world.serve("a", 80)
            assert await soon(lambda: it.world.ask("remote", "fd00:2::9", 80)) == b"hello"
            assert await silent(it, "b", "192.0.2.9")
            made = links(it, "a")["eth0"]
            assert made["mtu"] == 1300
            assert made["linkinfo"]["info_data"]["mode"] == "private"  # type: ignore[index]
            await it.end()

        it.world.play(story)


def test_without_a_parent_it_is_internal(tmp_path: Path) -> None:
    with macvlan_rig(tmp_path) as it:

        async def story() -> None:
            inner = await it.network("inner", "10.90.0.0/24", driver="macvlan")
            assert inner.internal
            await it.join("a", inner, "10.90.0.9")
            await it.join("b", inner, "10.90.0.10")
            it.world.serve("a", 80)
            it.world.serve("host", 81)
            assert await soon(lambda: it.world.ask("b", "10.90.0.9", 80)) == b"hello"
            assert it.world.inside("a", lambda: command("ip", "route", "show", "default")) == ""
            mine = [link for name, link in links(it, "host").items() if name.startswith("mvl")]
            assert len(mine) == 2
            addresses = it.world.inside("host", lambda: command("ip", "-br", "addr"))
            shown = [line.split() for line in addresses.splitlines() if line.startswith("mvl")]
            assert [row[2:] for row in shown] == [[], []], "the host has no address behind it"
            await it.create(inner)
            await it.end()
            assert left(it.world) == []

        it.world.play(story)


def test_what_cannot_be(tmp_path: Path) -> None:
    with macvlan_rig(tmp_path) as it:

        async def refused(kind: type[MobyError], text: str, **options: str) -> None:
            with pytest.raises(kind) as caught:
                await it.network("lan2", "10.91.0.0/24", driver="macvlan", options=options)
            assert caught.value.message == text

        async def story() -> None:
            await it.network("lan", LAN, driver="macvlan", options={"parent": "uplink"})
            await refused(Conflict, "network lan is already using parent interface uplink", parent="uplink")
            await refused(
                NotFound,
                "network lan2: the requested parent interface nosuch0 was not found on this host",
                parent="nosuch0",
            )
            await refused(
                InvalidArgument,
                "network lan2: 4095 is no VLAN - it is a number from 1 to 4094",
                parent="uplink.4095",
            )
            await refused(InvalidArgument, "invalid parent: 'a b' is no interface name", parent="a b")
            await refused(
                InvalidArgument, "invalid parent: lo - the loopback interface carries no macvlan", parent="lo"
            )
            await refused(
                InvalidArgument,
                "invalid macvlan_mode: l3 - it is one of bridge, passthru, private, vepa",
                macvlan_mode="l3",
            )
            await refused(
                InvalidArgument,
                "invalid com.docker.network.driver.mtu: 7 - it is a number from 68 to 65535",
                **{"com.docker.network.driver.mtu": "7"},
            )
            it.world.inside("host", lambda: command("ip", "link", "add", "br0", "type", "bridge"))
            it.world.inside(
                "host", lambda: command("ip", "link", "add", "port0", "type", "veth", "peer", "name", "port1")
            )
            it.world.inside("host", lambda: command("ip", "link", "set", "port0", "master", "br0"))
            port = await it.network("port", "10.92.0.0/24", driver="macvlan", options={"parent": "port0"})
            with pytest.raises(
                RuntimeFailed, match=r"^network port: no macvlan on port0 - device or resource busy$"
            ):
                await it.join("a", port)
            assert set(links(it, "a")) == {"lo"}
            it.world.inside("host", lambda: command("ip", "link", "del", "port0"))
            with pytest.raises(NotFound, match=r"^network port: parent interface port0 is gone$"):
                await it.join("a", port)
            await it.end()

        it.world.play(story)


def test_a_vlan_of_the_parent_is_made_and_removed(tmp_path: Path) -> None:
    """Or refused in words, where the kernel has no VLANs."""
    with macvlan_rig(tmp_path) as it:

        def has_vlans() -> bool:
            made = os.system("ip link add link uplink name probe type vlan id 9 2>/dev/null") == 0
            if made:
                command("ip", "link", "del", "probe")
            return made

        async def story() -> None:
            options = {"parent": "uplink.10"}
            if not run_in(str(it.world.path("host")), has_vlans):
                with pytest.raises(
                    Unavailable,
                    match=r"^network lan: cannot make VLAN interface uplink\.10 - this kernel has no 802\.1Q",
                ):
                    await it.network("lan", "10.93.0.0/24", driver="macvlan", options=options)
                return
            await it.network("lan", "10.93.0.0/24", driver="macvlan", options=options)
            await it.network("lan", "10.93.0.0/24", driver="macvlan", options=options)
            info = links(it, "host")["uplink.10"]["linkinfo"]
            assert info["info_data"]["id"] == 10  # type: ignore[index]
            await it.end()

        it.world.play(story)
        assert left(it.world) == []


def lasting(link: dict[str, object]) -> dict[str, object]:
    """Without its state, which the kernel finds out in its own time."""
    return {key: value for key, value in link.items() if key != "operstate"}


def test_lives_of_the_daemon(tmp_path: Path) -> None:
    with macvlan_rig(tmp_path) as it:

        async def story() -> None:
            lan = await it.network("lan", LAN, driver="macvlan", options={"parent": "uplink"})
            gone = await it.network("gone", "10.94.0.0/24", driver="macvlan")
            a = await it.join("a", lan, "192.0.2.9")
            await it.join("b", lan, "192.0.2.10")
            before = lasting(links(it, "a")["eth0"])
            it.world.inside("b", lambda: command("ip", "link", "del", "eth0"))
            del it.records["gone"]
            await it.again()
            assert lasting(links(it, "a")["eth0"]) == before
            it.world.serve("b", 80)
            assert await soon(lambda: it.world.ask("remote", "192.0.2.10", 80)) == b"hello"
            assert not [name for name in links(it, "host") if name.startswith("mvl")], "gone is gone"
            request = it.endpoints[id_of("a"), lan.id].request
            assert await it.component.attach(request) == a
            with pytest.raises(
                RuntimeFailed, match=r"^network lan: macvlan failed - address already in use$"
            ):
                await it.component.attach(replace(request, interface="eth1"))
            assert set(links(it, "a")) == {"lo", "eth0"}, "one MAC twice: nothing is left of it"
            await it.leave("a", lan)
            await it.component.detach(request, None)
            it.world.drop("b")
            await it.leave("b", lan)
            await it.component.remove(gone)
            await it.end()
            assert left(it.world) == []

        it.world.play(story)


def test_with_a_parent_it_has_a_default_network(tmp_path: Path) -> None:
    options = {"parent": "uplink", "subnet": LAN, "gateway": "192.0.2.2", "ip_range": "192.0.2.64/27"}
    with macvlan_rig(tmp_path, **options) as it:
        default, host, none = it.component.predefined()
        assert (default.name, default.driver, default.names, default.builtin) == (
            "bridge",
            "macvlan",
            "none",
            True,
        )
        assert default.ipam["Config"] == [{"Subnet": LAN, "IPRange": "192.0.2.64/27", "Gateway": "192.0.2.2"}]
        assert (host.name, none.name) == ("host", "none")

        async def story() -> None:
            made = await it.create(replace(default, id=id_of("default")))
            await it.join("a", made, "192.0.2.66")
            it.world.serve("a", 80)
            assert await soon(lambda: it.world.ask("remote", "192.0.2.66", 80)) == b"hello"
            await it.end()

        it.world.play(story)
    (tmp_path / "second").mkdir()
    with macvlan_rig(tmp_path / "second") as bare:
        assert [n.name for n in bare.component.predefined()] == ["none", "host"]
