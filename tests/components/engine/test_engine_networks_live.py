"""Networks of a running container changed: interfaces, routes, ports, files - in real namespaces."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from engine_doubles import HostRuntime
from engine_house import House, house, run
from network_doubles import HANG, PEER, Wire, another_life, failure, wire

from moby_components.common.netns import run_in
from moby_py.errors import Conflict, InvalidArgument, MobyError, PermissionDenied, RuntimeFailed

pytestmark = pytest.mark.root
SUBNETS = {"a": "10.61.0.0/24", "b": "10.62.0.0/24", "c": "10.63.0.0/24"}


class Joining(HostRuntime):
    features = HostRuntime.features | {"join-namespaces"}


def play(tmp_path: Path, story: Callable[[House, Wire], Awaitable[None]], *, real: bool = True) -> None:
    async def whole() -> None:
        cable = wire(tmp_path, real=real, subnet="10.60.0.0/24")
        async with house(tmp_path, networks=[cable], runtime=Joining) as here:
            for name, subnet in SUBNETS.items():
                await here.engine.network_create(name, ipam={"Config": [{"Subnet": subnet}]})
            cable.steps()
            await story(here, cable)

    run(whole)


def netns(here: House, id: str) -> str:
    return str(here.engine._core.layout.netns(id))


def ip(here: House, id: str, *words: str) -> list[dict]:
    def look() -> list[dict]:
        done = subprocess.run(["ip", "-j", *words], capture_output=True, check=True, text=True)
        return json.loads(done.stdout or "[]")

    return run_in(netns(here, id), look)


def interfaces(here: House, id: str) -> dict[str, list[str]]:
    found = {}
    for link in ip(here, id, "address"):
        if link["ifname"] != "lo" and not link["ifname"].startswith(PEER):
            found[link["ifname"]] = [a["local"] for a in link["addr_info"] if a["scope"] == "global"]
    return found


def default_routes(here: House, id: str) -> list[tuple[str, str]]:
    return [(r["gateway"], r["dev"]) for r in ip(here, id, "route", "show", "default")]


async def shown(here: House, id: str) -> dict:
    return (await here.engine.inspect(id)).network


async def on(here: House, *networks: str, name: str = "", **body: object) -> str:
    ends = {"EndpointsConfig": {network: {} for network in networks}}
    host = {"NetworkMode": networks[0], **body.pop("host", {})}
    return await here.launch("sleep", "60", name=name, host=host, NetworkingConfig=ends, **body)


def test_interfaces_come_and_go_in_order(tmp_path: Path) -> None:
    async def story(here: House, cable: Wire) -> None:
        id = await on(here, "a")
        assert interfaces(here, id) == {"eth0": ["10.61.0.2"]}
        await here.engine.network_connect("b", id, {"Aliases": ["second"]})
        named = {"DriverOpts": {"com.docker.network.endpoint.ifname": "data0"}}
        await here.engine.network_connect("c", id, named)
        assert interfaces(here, id) == {"eth0": ["10.61.0.2"], "eth1": ["10.62.0.2"], "data0": ["10.63.0.2"]}
        assert default_routes(here, id) == [("10.61.0.1", "eth0")]
        await here.engine.network_disconnect("b", id)
        assert interfaces(here, id) == {"eth0": ["10.61.0.2"], "data0": ["10.63.0.2"]}
        await here.engine.network_connect("bridge", id, {})
        assert interfaces(here, id)["eth1"] == ["10.60.0.2"]
        with pytest.raises(Conflict) as caught:
            await here.engine.network_connect("b", id, named)
        assert failure(caught.value) == "interface name 'data0' is used twice in one container"
        with pytest.raises(InvalidArgument) as wrong:
            bad = {"DriverOpts": {"com.docker.network.endpoint.ifname": "no/name"}}
            await here.engine.network_connect("b", id, bad)
        assert "invalid interface name 'no/name'" in failure(wrong.value)
        assert set((await shown(here, id))["Networks"]) == {"a", "c", "bridge"}
        # A start makes them anew, in the order in which they were asked for.
        await here.engine.restart(id, timeout=0)
        assert interfaces(here, id) == {"eth0": ["10.61.0.2"], "data0": ["10.63.0.2"], "eth1": ["10.60.0.2"]}

    play(tmp_path, story)


def test_the_default_route_follows_priorities_and_leavers(tmp_path: Path) -> None:
    async def story(here: House, cable: Wire) -> None:
        closed = {"Config": [{"Subnet": "10.64.0.0/24"}]}
        await here.engine.network_create("closed", internal=True, ipam=closed)
        id = await on(here, "closed")
        assert default_routes(here, id) == []
        await here.engine.network_connect("a", id, {})
        assert default_routes(here, id) == [("10.61.0.1", "eth1")]
        await here.engine.network_connect("b", id, {"GwPriority": -1})
        assert default_routes(here, id) == [("10.61.0.1", "eth1")]
        await here.engine.network_connect("c", id, {"GwPriority": 5})
        assert default_routes(here, id) == [("10.63.0.1", "eth3")]
        await here.engine.restart(id, timeout=0)
        assert default_routes(here, id) == [("10.63.0.1", "eth3")]
        await here.engine.network_disconnect("c", id)
        # "closed" has priority 0 as "a" does, and no way out.
        assert default_routes(here, id) == [("10.61.0.1", "eth1")]
        await here.engine.network_disconnect("a", id)
        await here.engine.network_disconnect("b", id)
        assert default_routes(here, id) == []
        assert interfaces(here, id) == {"eth0": ["10.64.0.2"]}

    play(tmp_path, story)


def test_a_route_is_moved_in_one_step_and_strangers_go(tmp_path: Path) -> None:
    """Over IPv4 and IPv6, with default routes of other metrics that somebody in the container made."""

    async def story(here: House, cable: Wire) -> None:
        for n in (1, 2):
            subnets = [{"Subnet": f"10.7{n}.0.0/24"}, {"Subnet": f"fd00:7{n}::/64"}]
            await here.engine.network_create(f"d{n}", ipam={"Config": subnets})
        id = await on(here, "d1")
        words = ("route", "add", "default", "via", "10.71.0.9", "dev", "eth0", "metric", "500")
        run_in(netns(here, id), lambda: subprocess.run(["ip", *words], check=True))
        six = ("-6", "route", "add", "default", "via", "fd00:71::9", "dev", "eth0", "metric", "2000")
        run_in(netns(here, id), lambda: subprocess.run(["ip", *six], check=True))
        await here.engine.network_connect("d2", id, {"GwPriority": 1})
        assert default_routes(here, id) == [("10.72.0.1", "eth1")]
        found = [(r["gateway"], r["dev"]) for r in ip(here, id, "-6", "route", "show", "default")]
        assert found == [("fd00:72::1", "eth1")]
        await here.engine.network_disconnect("d2", id)
        assert default_routes(here, id) == [("10.71.0.1", "eth0")]
        await here.engine.network_connect("a", id, {"GwPriority": 1})  # has no IPv6
        assert default_routes(here, id) == [("10.61.0.1", "eth1")]
        assert ip(here, id, "-6", "route", "show", "default") == []

    play(tmp_path, story)


def ports_of(network: dict) -> dict[str, list[str]]:
    return {key: [b["HostPort"] for b in bound] for key, bound in network["Ports"].items()}


def test_ports_go_where_the_default_route_goes(tmp_path: Path) -> None:
    async def story(here: House, cable: Wire) -> None:
        def publisher() -> set[str]:
            return {r.network.name for r in cable.attached.values() if r.ports}

        await here.engine.network_create("closed", internal=True)
        published = {"80/tcp": [{"HostPort": "8080"}]}
        id = await on(here, "a", "b", host={"PortBindings": published})
        assert publisher() == {"a"}
        await here.engine.network_connect("c", id, {"GwPriority": 1})
        assert publisher() == {"c"}
        assert ports_of(await shown(here, id)) == {"80/tcp": ["8080"]}
        assert list(interfaces(here, id)) and set(interfaces(here, id)) == {"eth0", "eth1", "eth2"}
        assert default_routes(here, id) == [("10.63.0.1", "eth2")]
        before = (await shown(here, id))["Networks"]["a"]
        await here.engine.network_disconnect("c", id)
        assert publisher() == {"a"}
        assert (await shown(here, id))["Networks"]["a"] == before
        await here.engine.network_disconnect("a", id)
        assert publisher() == {"b"}
        assert ports_of(await shown(here, id)) == {"80/tcp": ["8080"]}
        await here.engine.network_connect("closed", id, {})
        await here.engine.network_disconnect("b", id)
        assert publisher() == set()
        assert ports_of(await shown(here, id)) == {}
        await here.engine.network_connect("a", id, {})
        assert publisher() == {"a"}
        events = [e for e in here.engine._core.db.events(0, 0) if e.type == "network"]
        told = [(e.action, e.attributes["name"]) for e in events if e.action != "create"]
        assert told == [  # none for a move of ports
            ("connect", "a"), ("connect", "b"), ("connect", "c"), ("disconnect", "c"), ("disconnect", "a"),
            ("connect", "closed"), ("disconnect", "b"), ("connect", "a"),
        ]  # fmt: skip

    play(tmp_path, story)


def test_a_join_that_fails_puts_the_ports_back(tmp_path: Path) -> None:
    async def story(here: House, cable: Wire) -> None:
        id = await on(here, "a", host={"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}})
        before = await shown(here, id)
        cable.faults["attach b"] = "no copper"
        with pytest.raises(RuntimeFailed, match=r"^no copper$"):
            await here.engine.network_connect("b", id, {"GwPriority": 9})
        assert await shown(here, id) == before
        assert [r.network.name for r in cable.attached.values() if r.ports] == ["a"]
        assert default_routes(here, id) == [("10.61.0.1", "eth0")]
        assert interfaces(here, id) == {"eth0": ["10.61.0.2"]}
        assert [wish["network"] for wish in here.engine._core.get(id).record.endpoints] == ["a"]
        cable.faults.clear()
        await here.engine.network_connect("b", id, {"GwPriority": 9})
        assert default_routes(here, id) == [("10.62.0.1", "eth1")]

    play(tmp_path, story)


def test_ports_that_nobody_can_take_over_are_lost_and_not_the_network(tmp_path: Path) -> None:
    async def story(here: House, cable: Wire) -> None:
        id = await on(here, "a", "b", host={"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}})
        plain = cable.attach

        async def picky(request):
            if request.ports and request.network.name == "b":
                raise Conflict("Bind for 0.0.0.0:8080 failed: port is already allocated")
            return await plain(request)

        cable.attach = picky  # type: ignore[method-assign]
        await here.engine.network_disconnect("a", id)
        assert ports_of(await shown(here, id)) == {}
        assert interfaces(here, id) == {"eth1": ["10.62.0.2"]}
        assert default_routes(here, id) == [("10.62.0.1", "eth1")]

    play(tmp_path, story)


def test_a_leave_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    async def story(here: House, cable: Wire) -> None:
        id = await on(here, "a", "b")
        before = await shown(here, id)
        cable.faults["detach b"] = "stuck"
        with pytest.raises(RuntimeFailed, match=r"^stuck$"):
            await here.engine.network_disconnect("b", id)
        assert await shown(here, id) == before
        await here.engine.network_disconnect("b", id, force=True)
        assert set((await shown(here, id))["Networks"]) == {"a"}

    play(tmp_path, story, real=False)


def test_a_container_taken_off_all_networks_can_come_back(tmp_path: Path) -> None:
    async def story(here: House, cable: Wire) -> None:
        id = await on(here, "a")
        await here.engine.network_disconnect("a", id)
        assert (interfaces(here, id), (await shown(here, id))["Networks"]) == ({}, {})
        await here.engine.restart(id, timeout=0)
        assert interfaces(here, id) == {}
        [loopback] = [link for link in ip(here, id, "address") if link["ifname"] == "lo"]
        assert "UP" in loopback["flags"]
        await here.engine.network_connect("b", id, {})
        assert interfaces(here, id) == {"eth0": ["10.62.0.2"]}
        assert default_routes(here, id) == [("10.62.0.1", "eth0")]

    play(tmp_path, story)


def test_connects_that_dockers_words_refuse(tmp_path: Path) -> None:
    async def story(here: House, cable: Wire) -> None:
        web = await on(here, "a", name="web")
        on_host = await on(here, "host")
        alone = await on(here, "none")
        shared = "container sharing network namespace with another container or host cannot be connected to "
        no_host = "cannot connect container to host network - container must be created in host network mode"
        one = (
            "container cannot be connected to multiple networks with one of the networks in private (none) "
            "mode"
        )
        guest = await here.create("sleep", "60", host={"NetworkMode": "container:web"})
        outside = {"IPAMConfig": {"IPv4Address": "10.99.0.9"}}
        for kind, network, id, settings, words in (
            (Conflict, "b", guest, {}, shared + "any other network"),
            (Conflict, "b", on_host, {}, shared + "any other network"),
            (Conflict, "host", web, {}, no_host),
            (Conflict, "b", alone, {}, one),
            (Conflict, "none", web, {}, one),
            (PermissionDenied, "a", web, {}, "endpoint with name web already exists in network a"),
            (InvalidArgument, "b", web, outside,
             "invalid endpoint settings: no configured subnet contains IP address 10.99.0.9"),
            (InvalidArgument, "bridge", web, {"IPAMConfig": {"IPv4Address": "10.60.0.9"}},
             "user specified IP address is supported on user defined networks only"),
            (InvalidArgument, "bridge", web, {"Aliases": ["x"]},
             "network-scoped alias is supported only for containers in user defined networks"),
        ):  # fmt: skip
            with pytest.raises(MobyError) as caught:
                await here.engine.network_connect(network, id, settings)
            assert (type(caught.value), failure(caught.value)) == (kind, words), (network, id)
        assert set((await shown(here, web))["Networks"]) == {"a"}
        for kind, network, id, words in (
            (Conflict, "b", web, f"container {web} is not connected to network b"),
            (Conflict, "host", on_host, "cannot disconnect container from host network - container was "
             "created in host network mode"),
        ):  # fmt: skip
            with pytest.raises(MobyError) as caught:
                await here.engine.network_disconnect(network, id)
            assert (type(caught.value), failure(caught.value)) == (kind, words)
        with pytest.raises(MobyError, match=r"^No such container: gone$"):
            await here.engine.network_disconnect("a", "gone")
        await here.engine.network_disconnect("a", "gone", force=True)
        with pytest.raises(MobyError, match=r"^network gone not found$"):
            await here.engine.network_disconnect("gone", web)

    play(tmp_path, story)


def test_a_stopped_container_is_connected_for_its_next_start(tmp_path: Path) -> None:
    async def story(here: House, cable: Wire) -> None:
        id = await here.create("sleep", "60", host={"NetworkMode": "a"})
        wish = {
            "IPAMConfig": {"IPv4Address": "10.62.0.77"},
            "Aliases": ["db"],
            "MacAddress": "02-42-AA-0-0-1",
        }
        with pytest.raises(InvalidArgument, match=r"^invalid MAC address: 02-42-AA-0-0-1$"):
            await here.engine.network_connect("b", id, wish)
        wish["MacAddress"] = "02-42-AA-00-00-01"
        await here.engine.network_connect("b", id, wish)
        await here.engine.network_disconnect("a", id)
        idle = (await shown(here, id))["Networks"]
        assert set(idle) == {"b"}
        assert (idle["b"]["IPAMConfig"], idle["b"]["Aliases"], idle["b"]["IPAddress"]) == (
            {"IPv4Address": "10.62.0.77"}, ["db"], "",
        )  # fmt: skip
        assert cable.steps("attach", "detach") == []
        await here.engine.start(id)
        assert interfaces(here, id) == {"eth0": ["10.62.0.77"]}
        live = (await shown(here, id))["Networks"]["b"]
        assert live["MacAddress"] == "02:42:aa:00:00:01"
        [link] = [link for link in ip(here, id, "link") if link["ifname"] == "eth0"]
        assert link["address"] == "02:42:aa:00:00:01"

    play(tmp_path, story)


def test_networks_are_shown_by_name_whatever_they_were_called(tmp_path: Path) -> None:
    async def story(here: House, cable: Wire) -> None:
        record = await here.engine.network_inspect("a")
        id = await here.create("sleep", "60", host={"NetworkMode": record.id})
        idle = (await shown(here, id))["Networks"]
        assert list(idle) == ["a"] and idle["a"]["NetworkID"] == record.id
        await here.engine.start(id)
        assert list((await shown(here, id))["Networks"]) == ["a"]
        await here.engine.stop(id, timeout=0)
        assert (await shown(here, id))["Networks"] == idle
        twice = {"EndpointsConfig": {"a": {}, record.id: {}}}
        both = await here.create("sleep", "60", host={"NetworkMode": "a"}, NetworkingConfig=twice)
        with pytest.raises(Conflict, match=r"^network a is asked for twice$"):
            await here.engine.start(both)

    play(tmp_path, story)


def test_the_shape_of_network_settings(tmp_path: Path) -> None:
    async def story(here: House, cable: Wire) -> None:
        ends = {"EndpointsConfig": {"a": {"Aliases": ["db"], "DriverOpts": {"k": "v"}, "GwPriority": 3}}}
        id = await here.launch(
            "sleep", "60", name="web", Hostname="www", NetworkingConfig=ends,
            host={"NetworkMode": "a", "PortBindings": {"53/udp": [{"HostIp": "", "HostPort": "5353"}]}},
        )  # fmt: skip
        network = await here.engine.network_inspect("a")
        found = await shown(here, id)
        endpoint = found["Networks"]["a"]
        assert endpoint == {
            "IPAMConfig": None, "Links": None, "Aliases": ["db"], "MacAddress": "02:42:0a:3d:00:02",
            "DriverOpts": {"k": "v"}, "GwPriority": 3, "NetworkID": network.id,
            "EndpointID": endpoint["EndpointID"], "Gateway": "10.61.0.1", "IPAddress": "10.61.0.2",
            "IPPrefixLen": 24, "IPv6Gateway": "", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0,
            "DNSNames": None,
        }  # fmt: skip
        assert len(endpoint["EndpointID"]) == 64
        assert found == {
            "SandboxID": id, "SandboxKey": netns(here, id),
            "Ports": {"53/udp": [{"HostIp": "0.0.0.0", "HostPort": "5353"}]},
            "EndpointID": endpoint["EndpointID"], "Gateway": "10.61.0.1", "IPAddress": "10.61.0.2",
            "IPPrefixLen": 24, "IPv6Gateway": "", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0,
            "MacAddress": "02:42:0a:3d:00:02", "Networks": {"a": endpoint},
        }  # fmt: skip
        await here.engine.stop(id, timeout=0)
        idle = await shown(here, id)
        assert (idle["Ports"], set(idle)) == ({}, {"Ports", "Networks"})
        gone = ("MacAddress", "EndpointID", "Gateway", "IPAddress")
        assert [idle["Networks"]["a"][key] for key in gone] == ["", "", "", ""]

    play(tmp_path, story)


def test_a_network_is_shared_with_another_container(tmp_path: Path) -> None:
    async def story(here: House, cable: Wire) -> None:
        donor = await on(here, "a", name="web")
        guest = await here.launch("sleep", "60", host={"NetworkMode": "container:web"})
        assert here.runtime.sandboxes[guest].path == netns(here, donor)
        assert (await shown(here, guest)) == {}
        assert not Path(netns(here, guest)).exists()
        for name in ("hosts", "resolv.conf", "hostname"):
            assert here.runtime.seen[guest][f"/etc/{name}"] == here.runtime.seen[donor][f"/etc/{name}"]
        before = Path(netns(here, donor)).stat().st_ino
        await here.engine.restart(donor, timeout=0)
        assert Path(netns(here, donor)).stat().st_ino != before
        await here.engine.restart(guest, timeout=0)
        assert here.runtime.sandboxes[guest].path == netns(here, donor)
        await here.engine.stop(guest, timeout=0)
        assert interfaces(here, donor) == {"eth0": ["10.61.0.2"]}, "the guest took the network along"
        await here.engine.stop(donor, timeout=0)
        with pytest.raises(Conflict) as caught:
            await here.engine.start(guest)
        assert failure(caught.value) == f"cannot join network of a non running container: {donor}"
        alone = await on(here, "none", name="alone")
        other = await here.launch("sleep", "60", host={"NetworkMode": "container:alone"})
        pid = (await here.engine.inspect(alone)).state.pid
        assert here.runtime.sandboxes[other].path == f"/proc/{pid}/ns/net"
        await on(here, "host", name="open")
        third = await here.launch("sleep", "60", host={"NetworkMode": "container:open"})
        assert here.runtime.sandboxes[third].mode == "host"

    play(tmp_path, story)


def test_files_follow_and_keep_what_the_user_wrote(tmp_path: Path) -> None:
    async def story(here: House, cable: Wire) -> None:
        extra = ["db:10.1.1.1", "gate:host-gateway", "six:[fd00::9]"]
        id = await on(here, "a", Hostname="www", Domainname="example.org", host={"ExtraHosts": extra})
        folder = here.engine._core.layout.files(id)
        hosts, resolv = folder / "hosts", folder / "resolv.conf"
        inode = hosts.stat().st_ino
        own = "10.61.0.2\twww.example.org www\n"
        base = hosts.read_text().removesuffix("10.1.1.1\tdb\n10.61.0.1\tgate\nfd00::9\tsix\n" + own)
        assert base != hosts.read_text() and base.startswith("127.0.0.1\tlocalhost\n")
        with hosts.open("a") as file:
            file.write("10.9.9.9\tmine\n10.9.9.8\tmine www\n")
        await here.engine.network_connect("b", id, {})
        lines = hosts.read_text().removeprefix(base).splitlines()
        assert lines == [
            "10.1.1.1\tdb", "10.61.0.1\tgate", "fd00::9\tsix", "10.9.9.9\tmine", "10.9.9.8\tmine www",
            "10.61.0.2\twww.example.org www", "10.62.0.2\twww.example.org www",
        ]  # fmt: skip
        await here.engine.network_disconnect("a", id)
        assert "10.61.0.2" not in hosts.read_text() and "10.9.9.9\tmine" in hosts.read_text()
        assert hosts.stat().st_ino == inode, "the container would see the old file"
        text = resolv.read_text()
        resolv.write_text("nameserver 9.9.9.9\n")
        await here.engine.network_connect("a", id, {})
        assert resolv.read_text() == "nameserver 9.9.9.9\n"
        await here.engine.restart(id, timeout=0)
        assert resolv.read_text() == text

    play(tmp_path, story)


def test_resolvers_that_the_user_names(tmp_path: Path) -> None:
    async def story(here: House, cable: Wire) -> None:
        host = {"Dns": ["9.9.9.9", "fd00::53"], "DnsSearch": ["example.org"], "DnsOptions": ["ndots:3"]}
        id = await on(here, "a", host=host)
        text = "nameserver 9.9.9.9\nnameserver fd00::53\nsearch example.org\noptions ndots:3\n"
        assert here.runtime.seen[id]["/etc/resolv.conf"].decode() == text
        assert next(iter(cable.attached.values())).dns == ("9.9.9.9", "fd00::53")
        with pytest.raises(InvalidArgument, match=r"^nine is not an ip address$"):
            await here.create("true", host={"Dns": ["nine"]})
        with pytest.raises(InvalidArgument, match=r'^bad format for add-host: "x"$'):
            await here.create("true", host={"ExtraHosts": ["x"]})
        alone = await on(here, "none", host={"ExtraHosts": ["gate:host-gateway"]})
        assert b"127.0.0.1\tgate\n" in here.runtime.seen[alone]["/etc/hosts"]

    play(tmp_path, story)


def test_leases_are_kept_over_stops_and_given_back_by_leaving(tmp_path: Path) -> None:
    async def story(here: House, cable: Wire) -> None:
        await here.engine.network_create("tiny", ipam={"Config": [{"Subnet": "10.70.0.0/29"}]})
        ids = [await on(here, "tiny") for _ in range(5)]  # .2 to .6
        held = {id: (await shown(here, id))["Networks"]["tiny"]["IPAddress"] for id in ids}
        assert sorted(held.values()) == [f"10.70.0.{n}" for n in range(2, 7)]
        sixth = await here.create("sleep", "60", host={"NetworkMode": "tiny"})
        with pytest.raises(MobyError) as full:
            await here.engine.start(sixth)
        network = await here.engine.network_inspect("tiny")
        assert failure(full.value) == (
            f"no available IPv4 addresses on this network's address pools: tiny ({network.id})"
        )
        await here.engine.stop(ids[0], timeout=0)
        await here.engine.start(ids[0])
        assert (await shown(here, ids[0]))["Networks"]["tiny"]["IPAddress"] == held[ids[0]]
        await here.engine.stop(ids[0], timeout=0)
        await here.engine.start(sixth)  # the pool is used up: what does not run gives way
        assert (await shown(here, sixth))["Networks"]["tiny"]["IPAddress"] == held[ids[0]]
        with pytest.raises(MobyError, match=r"^no available IPv4 addresses"):
            await here.engine.start(ids[0])
        await here.engine.network_disconnect("tiny", ids[1])
        await here.engine.start(ids[0])
        assert (await shown(here, ids[0]))["Networks"]["tiny"]["IPAddress"] == held[ids[1]]
        await here.engine.remove(ids[2], force=True)
        await here.engine.network_connect("tiny", ids[1], {})
        assert (await shown(here, ids[1]))["Networks"]["tiny"]["IPAddress"] == held[ids[2]]
        rows = [lease for lease in here.engine._core.db.leases() if lease.network_id == network.id]
        assert sorted(lease.address for lease in rows) == [f"10.70.0.{n}" for n in range(2, 7)]

    play(tmp_path, story, real=False)


def test_an_address_that_is_asked_for(tmp_path: Path) -> None:
    async def story(here: House, cable: Wire) -> None:
        ask = {"EndpointsConfig": {"a": {"IPAMConfig": {"IPv4Address": "10.61.0.9"}}}}
        first = await here.launch("sleep", "60", host={"NetworkMode": "a"}, NetworkingConfig=ask)
        assert interfaces(here, first) == {"eth0": ["10.61.0.9"]}
        second = await here.create("sleep", "60", host={"NetworkMode": "a"}, NetworkingConfig=ask)
        with pytest.raises(PermissionDenied, match=r"^Address already in use$"):
            await here.engine.start(second)
        await here.engine.stop(first, timeout=0)
        await here.engine.start(second)
        with pytest.raises(PermissionDenied, match=r"^Address already in use$"):
            await here.engine.start(first)
        for wrong, words in (
            ("10.61.0.1", "Address already in use"),
            (
                "10.61.0.255",
                "invalid endpoint settings: no configured subnet contains IP address 10.61.0.255",
            ),
            ("10.62.0.5", "invalid endpoint settings: no configured subnet contains IP address 10.62.0.5"),
        ):
            ends = {"EndpointsConfig": {"a": {"IPAMConfig": {"IPv4Address": wrong}}}}
            id = await here.create("sleep", "60", host={"NetworkMode": "a"}, NetworkingConfig=ends)
            with pytest.raises(MobyError) as caught:
                await here.engine.start(id)
            assert failure(caught.value) == words

    play(tmp_path, story)


def test_events_tell_joins_and_leaves(tmp_path: Path) -> None:
    async def story(here: House, cable: Wire) -> None:
        a, b = await here.engine.network_inspect("a"), await here.engine.network_inspect("b")
        id = await on(here, "a")
        await here.engine.network_connect("b", id, {})
        await here.engine.network_disconnect("a", id)
        await here.engine.kill(id)
        await here.engine.wait(id)
        await here.engine.remove(id)
        found = [e for e in here.engine._core.db.events(0, 0) if e.type == "network"][3:]
        assert [(e.action, e.actor) for e in found] == [
            ("connect", a.id), ("connect", b.id), ("disconnect", a.id), ("disconnect", b.id),
        ]  # fmt: skip
        assert found[0].attributes == {"container": id, "name": "a", "type": "bridge"}

    play(tmp_path, story)


def test_another_life_goes_on_where_the_last_one_was(tmp_path: Path) -> None:
    async def story(here: House, cable: Wire) -> None:
        id = await on(here, "a", "b", host={"PortBindings": {"80/tcp": [{}]}})
        await here.engine.network_connect("c", id, {"GwPriority": 2})
        before = await shown(here, id)
        await another_life(here, cable)
        assert await shown(here, id) == before
        assert [e.request.default_route for e in cable.recovered] == [False, False, True]
        await here.engine.network_disconnect("c", id)
        assert default_routes(here, id) == [("10.61.0.1", "eth0")]
        assert ports_of(await shown(here, id)).keys() == {"80/tcp"}

    play(tmp_path, story)


@pytest.mark.parametrize("step", ["attach b", "detach a", "attach a"])
def test_a_crash_in_the_middle_of_a_connect_is_as_if_never_asked(tmp_path: Path, step: str) -> None:
    """At each step of a connect that takes ports and default route from "a" to "b"."""

    async def story(here: House, cable: Wire) -> None:
        id = await on(here, "a", host={"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}})
        before = await shown(here, id)
        cable.faults[step] = HANG
        begun = asyncio.ensure_future(here.engine.network_connect("b", id, {"GwPriority": 1}))
        await cable.reached.wait()
        cable.faults.clear()
        await another_life(here, cable)
        assert not begun.done()
        assert await shown(here, id) == before
        assert {r.network.name for r in cable.attached.values()} == {"a"}
        assert ports_of(await shown(here, id)) == ({"80/tcp": ["8080"]})
        assert here.engine._core.db.leases() == [
            lease for lease in here.engine._core.db.leases() if lease.address.startswith("10.61.")
        ]
        await here.engine.network_connect("b", id, {"GwPriority": 1})
        assert [r.network.name for r in cable.attached.values() if r.ports] == ["b"]

    play(tmp_path, story)


@pytest.mark.parametrize("step", ["detach a", "attach b"])
def test_a_crash_in_the_middle_of_a_disconnect_is_mended(tmp_path: Path, step: str) -> None:
    """Where "a" has the ports and the default route, and "b" is to have them."""

    async def story(here: House, cable: Wire) -> None:
        id = await on(here, "a", "b", host={"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}})
        cable.faults[step] = HANG
        begun = asyncio.ensure_future(here.engine.network_disconnect("a", id))
        await cable.reached.wait()
        cable.faults.clear()
        await another_life(here, cable)
        assert not begun.done()
        assert [r.network.name for r in cable.attached.values() if r.ports] in (["a"], ["b"])
        if "a" in (await shown(here, id))["Networks"]:
            await here.engine.network_disconnect("a", id)
        assert {r.network.name for r in cable.attached.values()} == {"b"}
        assert ports_of(await shown(here, id)) == {"80/tcp": ["8080"]}

    play(tmp_path, story)


def test_many_connects_at_once(tmp_path: Path) -> None:
    async def story(here: House, cable: Wire) -> None:
        id = await on(here, "a")
        await asyncio.gather(
            here.engine.network_connect("b", id, {}),
            here.engine.network_connect("c", id, {}),
            here.engine.network_connect("bridge", id, {}),
        )
        found = interfaces(here, id)
        assert set(found) == {"eth0", "eth1", "eth2", "eth3"}
        assert sorted(a for addresses in found.values() for a in addresses) == [
            "10.60.0.2", "10.61.0.2", "10.62.0.2", "10.63.0.2",
        ]  # fmt: skip
        await asyncio.gather(*(here.engine.network_disconnect(n, id) for n in ("a", "b", "c")))
        assert list(interfaces(here, id).values()) == [["10.60.0.2"]]
        assert len(default_routes(here, id)) == 1

    play(tmp_path, story)
