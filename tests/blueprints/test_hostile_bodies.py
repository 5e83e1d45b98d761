"""API clients that mean harm, or cannot spell: the network parts of the API on a whole platform
(issue 2, line 5).

What is refused is refused with a clear 4xx and leaves nothing: no interface, no rule, no record. The
daemon's log has no traceback at the end, and the platform serves on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.api import Client
from support.lab import HOST4, HOST6, REMOTE4, REMOTE6, Lab, lab
from support.network_bodies import ANY, CREATE, ENDPOINT, ENDPOINTS, OPTION, WORDS, shaped
from support.platform import TestPlatform, platform

pytestmark = [pytest.mark.root, pytest.mark.timeout(60)]
IMAGE = "tools"
SLEEP = ["busybox", "sleep", "600"]
FUZZ = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@dataclass(repr=False)
class Api:
    """A platform with network `app` and container `live` on it, by its API."""

    moby: TestPlatform
    lab: Lab
    client: Client

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        """(status, message or whole text)."""
        link = self.client._connection
        link.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
        with link.getresponse() as answer:
            text = answer.read().decode()
        return answer.status, json.loads(text)["message"] if answer.status >= 400 else text

    def create(self, **config: Any) -> tuple[int, str]:
        return self.ask("POST", "/containers/create", {"Image": IMAGE, "Cmd": ["busybox", "true"], **config})

    def state(self) -> tuple[object, ...]:
        """What a refused request must not change."""
        networks = self.client.call("GET", "/networks")
        live = self.client.call("GET", "/containers/live/json")["NetworkSettings"]
        kept = (sorted(n["Name"] for n in networks), sorted(live["Networks"]), self.lab.rules())
        sh = self.lab.sh
        text = sh("ip", "-o", "address") + sh("ip", "-o", "-4", "route") + sh("ip", "-o", "-6", "route")
        # Without what the kernel adds while a bridge has ports.
        lines = [line.replace(" linkdown", "") for line in text.splitlines() if "fe80:" not in line]
        return *kept, self.lab.interfaces(), sorted(lines)


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with lab() as here, platform("bridge.yaml", user=here.prefix) as moby:
        moby("image", "from-host", "-t", IMAGE, "sh", "busybox")
        client = Client(moby.socket)
        made = Api(moby, here, client)
        client.call(
            "POST", "/networks/create", {"Name": "app", "IPAM": {"Config": [{"Subnet": "10.50.0.0/24"}]}}
        )
        client.call("POST", "/networks/create", {"Name": "further"})
        body = {"Image": IMAGE, "Cmd": SLEEP, "HostConfig": {"NetworkMode": "app"}}
        client.call("POST", "/containers/create?name=live", body)
        client.call("POST", "/containers/live/start")
        yield made
        assert client.call("GET", "/containers/live/json")["State"]["Running"] is True
        client.close()
        assert "Traceback" not in (moby.state / "daemon.log").read_text()
        moby("rm", "-f", *moby("ps", "-aq").stdout.split())
        moby("network", "rm", "app", "further")
        moby.down()
        assert here.leftovers() == []


@pytest.fixture
def unchanged(api: Api) -> Iterator[Api]:
    before = api.state()
    yield api
    assert api.state() == before


NAMES = ["a\nb", "a\0b", "x" * 300, "../up", "é", "a b", "\ud800", "a/b", "-x", ".", "..", '"', "{", "a;b"]


def name_id(text: str) -> str:
    return ascii(text)[1:20]


@pytest.mark.parametrize("name", NAMES, ids=name_id)
def test_names_of_networks_and_containers(unchanged: Api, name: str) -> None:
    status, said = unchanged.ask("POST", "/networks/create", {"Name": name})
    assert said == (
        f"invalid network name: {name[:200]!r} - use letters, digits, and inside also '_', '.' and '-'"
    )
    assert status == 400
    settings = {"Aliases": ["fine", name]}
    wanted = f"invalid network alias: {name[:100]!r} - up to 253 letters, digits, and inside also '.' and '-'"
    connect = {"Container": "live", "EndpointConfig": settings}
    assert unchanged.ask("POST", "/networks/further/connect", connect) == (400, wanted)
    status, said = unchanged.create(NetworkingConfig={"EndpointsConfig": {"app": settings}})
    nul = "invalid NetworkingConfig.EndpointsConfig.app.Aliases - it has a NUL byte in it"
    assert (status, said) == (400, nul if "\0" in name else wanted)
    for field, word in (("Hostname", "hostname"), ("Domainname", "domainname")):
        status, said = unchanged.create(**{field: name})
        nul = f"invalid {field} - it has a NUL byte in it"
        assert (status, said) == (400, nul if "\0" in name else f"invalid {word} format: {name[:100]}")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("bridge.name", 'x"; drop', "{!r} is no name for an interface - {option} takes up to 15 letters"),
        ("bridge.name", "a\nb", "{!r} is no name for an interface - {option} takes up to 15 letters"),
        ("bridge.name", "../../x", "{!r} is no name for an interface - {option} takes up to 15 letters"),
        ("bridge.name", "9" * 100_000, "{!r} is no name for an interface - {option} takes up to 15 letters"),
        ("bridge.enable_icc", "yes\n", "{option} is {!r} - it takes true or false"),
        ("bridge.enable_ip_masquerade", "9" * 100_000, "{option} is {!r} - it takes true or false"),
        ("bridge.host_binding_ipv4", "::1\n", "{option} is {!r} - it takes an IPv4 address of this host"),
        (
            "bridge.host_binding_ipv4",
            "9" * 100_000,
            "{option} is {!r} - it takes an IPv4 address of this host",
        ),
        ("driver.mtu", "9" * 100_000, "{option} is {!r} - it takes a number of bytes from 68 to 65535"),
        ("driver.mtu", "1500\n", "{option} is {!r} - it takes a number of bytes from 68 to 65535"),
        ("driver.mtu", "-1", "{option} is {!r} - it takes a number of bytes from 68 to 65535"),
    ],
    ids=name_id,
)
def test_driver_options(unchanged: Api, option: str, value: str, message: str) -> None:
    answer = unchanged.ask("POST", "/networks/create", {"Name": "bad", "Options": {OPTION + option: value}})
    assert answer == (400, message.format(value[:100], option=OPTION + option))


OWN = "invalid pool request: {} holds {}, the host's own address on cable"
HOP = "invalid pool request: {} holds {}, the gateway of a route of cable"
NEVER = "invalid subnet {}: its addresses are never those of a network's hosts"


@pytest.mark.parametrize(
    ("subnet", "more", "status", "message"),
    [
        ("192.0.2.0/24", {}, 403, OWN.format("192.0.2.0/24", HOST4)),
        ("192.0.0.0/16", {}, 403, OWN.format("192.0.0.0/16", HOST4)),
        ("192.0.2.2/31", {}, 403, HOP.format("192.0.2.2/31", REMOTE4)),
        ("2001:db8:99::/64", {}, 403, OWN.format("2001:db8:99::/64", HOST6)),
        ("2001:db8:99::2/127", {}, 403, HOP.format("2001:db8:99::2/127", REMOTE6)),
        ("10.50.0.128/25", {}, 403,
         "invalid pool request: Pool overlaps with other one on this address space"),
        ("127.0.0.0/8", {}, 400, NEVER.format("127.0.0.0/8")),
        ("169.254.169.0/24", {}, 400, NEVER.format("169.254.169.0/24")),
        ("224.0.0.0/24", {}, 400, NEVER.format("224.0.0.0/24")),
        ("255.255.255.0/24", {}, 400, NEVER.format("255.255.255.0/24")),
        ("fe80::/64", {}, 400, NEVER.format("fe80::/64")),
        ("::1/128", {}, 400, NEVER.format("::1/128")),
        ("10.6.0.0/33", {}, 400, "invalid subnet 10.6.0.0/33: invalid CIDR address"),
        ("10.6.0.0/24", {"Gateway": "x\ny"}, 400,
         "invalid gateway 'x\\ny': invalid address"),
        ("10.6.0.0/24", {"Gateway": "10.7.0.1"}, 400,
         "invalid gateway 10.7.0.1: parent subnet 10.6.0.0/24 doesn't contain this address"),
        ("10.6.0.0/24", {"Gateway": "10.6.0.255"}, 400,
         "invalid gateway 10.6.0.255: it is the first or the last of 10.6.0.0/24"),
        ("10.6.0.0/24", {"AuxiliaryAddresses": {"a": "10.7.0.9"}}, 400,
         "invalid auxiliary address 10.7.0.9: parent subnet 10.6.0.0/24 doesn't contain this address"),
    ],
)  # fmt: skip
def test_subnets(unchanged: Api, subnet: str, more: dict[str, Any], status: int, message: str) -> None:
    config = {"Subnet": subnet, **more}
    answer = unchanged.ask("POST", "/networks/create", {"Name": "bad", "IPAM": {"Config": [config]}})
    assert (answer[0], answer[1].partition("\nhint: ")[0]) == (status, message)


NOT_MINE = (
    "invalid endpoint settings: no configured subnet contains IP address {}\n"
    "hint: network app has 10.50.0.0/24"
)


@pytest.mark.parametrize(
    ("settings", "status", "message"),
    [
        ({"IPAMConfig": {"IPv4Address": "10.50.0.1"}}, 403, "Address already in use"),
        ({"IPAMConfig": {"IPv4Address": "10.50.0.2"}}, 403, "Address already in use"),
        ({"IPAMConfig": {"IPv4Address": "10.50.0.255"}}, 400, NOT_MINE.format("10.50.0.255")),
        ({"IPAMConfig": {"IPv4Address": "192.0.2.1"}}, 400, NOT_MINE.format("192.0.2.1")),
        ({"IPAMConfig": {"IPv4Address": "x\ny"}}, 400, "invalid IPv4 address: x\ny"),
        ({"IPAMConfig": {"IPv6Address": "fe80::1%eth0"}}, 400, "invalid IPv6 address: fe80::1%eth0"),
        ({"MacAddress": "01:00:5e:00:00:01"}, 400, "invalid MAC address: 01:00:5e:00:00:01"),
        ({"MacAddress": "ff:ff:ff:ff:ff:ff"}, 400, "invalid MAC address: ff:ff:ff:ff:ff:ff"),
        ({"MacAddress": "00:00:00:00:00:00"}, 400, "invalid MAC address: 00:00:00:00:00:00"),
        ({"MacAddress": "02:00:00:00:00:00:00"}, 400, "invalid MAC address: 02:00:00:00:00:00:00"),
        (
            {"DriverOpts": {OPTION + "endpoint.ifname": "../../eth0"}},
            400,
            "invalid interface name '../../eth0' - give up to 15 letters, digits, '_', '.', '-'",
        ),
        (
            {"DriverOpts": {OPTION + "endpoint.ifname": "eth%d"}},
            400,
            "invalid interface name 'eth%d' - give up to 15 letters, digits, '_', '.', '-'",
        ),
    ],
    ids=lambda value: str(value)[:70] if isinstance(value, dict) else "",
)
def test_endpoints(unchanged: Api, settings: dict[str, Any], status: int, message: str) -> None:
    """By connect, while the container runs; and at the latest by its start when it is created so."""
    box = f"ep{time.monotonic_ns()}"
    body = {"Image": IMAGE, "Cmd": SLEEP, "HostConfig": {"NetworkMode": "none"}}
    unchanged.client.call("POST", f"/containers/create?name={box}", body)
    unchanged.client.call("POST", "/networks/none/disconnect", {"Container": box})
    unchanged.client.call("POST", "/networks/app/connect", {"Container": box, "EndpointConfig": {}})
    unchanged.client.call("POST", "/networks/app/disconnect", {"Container": box})
    connect = {"Container": box, "EndpointConfig": settings}
    answer = unchanged.ask("POST", "/networks/app/connect", connect)
    if answer[0] == 200:  # it does not run: what depends on others is said at its start
        answer = unchanged.ask("POST", f"/containers/{box}/start")
    assert answer == (status, message)
    unchanged.client.call("DELETE", f"/containers/{box}?force=1")
    made = unchanged.create(
        HostConfig={"NetworkMode": "app"}, NetworkingConfig={"EndpointsConfig": {"app": settings}}
    )
    if made[0] == 201:
        box = json.loads(made[1])["Id"]
        made = unchanged.ask("POST", f"/containers/{box}/start")
        unchanged.client.call("DELETE", f"/containers/{box}?force=1")
    assert made == (status, message)


@pytest.mark.parametrize(
    ("ports", "message"),
    [
        ({"0/tcp": [{}]}, "invalid port specification: '0/tcp'"),
        ({"65536/tcp": [{}]}, "invalid port specification: '65536/tcp'"),
        ({"9-8/tcp": [{}]}, "invalid port specification: '9-8/tcp'"),
        ({"٣/tcp": [{}]}, "invalid port specification: '٣/tcp'"),
        ({"80/tcp": [{"HostPort": "65536"}]}, "invalid port specification: '65536'"),
        ({"80/tcp": [{"HostPort": "-1"}]}, "invalid port specification: '-1'"),
        ({"80/tcp": [{"HostPort": "8\n"}]}, "invalid port specification: '8\n'"),
        ({"80/tcp": [{"HostIp": "a\nb"}]}, "invalid IP address: a\nb"),
        ({"80/tcp": [{"HostIp": "224.0.0.1"}]}, "invalid IP address: 224.0.0.1"),
        (
            {"1-65535/tcp": [{}], "1-65535/udp": [{}] * 100_000},
            "cannot publish that many ports of one container - at most 8192\n"
            "hint: publish fewer, or give the container the host's network (--network host)",
        ),
    ],
    ids=lambda value: ascii(value)[:60] if isinstance(value, dict) else "",
)
def test_ports(unchanged: Api, ports: dict[str, Any], message: str) -> None:
    begun = time.monotonic()
    answer = unchanged.create(HostConfig={"NetworkMode": "app", "PortBindings": ports})
    assert answer == (400, message)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("kind", ["cable", "lo", "a dockerd's bridge", "another platform's bridge"])
def test_interfaces_of_others_are_not_taken_over(api: Api, kind: str) -> None:
    name = kind if kind in ("cable", "lo") else "foreign0"
    sh = api.lab.sh
    message = f"{name} exists and is not a bridge"
    if name == "foreign0":
        sh("ip", "link", "add", name, "type", "bridge")
        sh("ip", "address", "add", "172.30.0.1/24", "dev", name)
        message = (
            "the bridge foreign0 is somebody else's - it has the address 172.30.0.1/24\n"
            "hint: to use it as it is: --subnet 172.30.0.0/24 --gateway 172.30.0.1"
        )
    if kind == "another platform's bridge":
        sh("ip", "link", "set", name, "alias", "moby-py-other 0123456789")
        message = "the bridge foreign0 belongs to another network of moby-py"
    try:
        before = api.state()
        body = {"Name": "bad", "Options": {OPTION + "bridge.name": name}}
        assert api.ask("POST", "/networks/create", body) == (409, message)
        assert api.state() == before
    finally:
        if name == "foreign0":
            sh("ip", "link", "delete", name)


def test_a_bridge_of_the_administrator_is_used_and_left_as_it_was(api: Api) -> None:
    sh = api.lab.sh
    sh("ip", "link", "add", "admin0", "type", "bridge")
    try:
        sh("ip", "link", "set", "admin0", "up")
        sh("ip", "address", "add", "172.30.0.1/24", "dev", "admin0")
        sh("ip", "address", "add", "fd00:30::1/64", "dev", "admin0", "nodad")
        before = api.state()
        config = {"Subnet": "172.30.0.0/24", "Gateway": "172.30.0.1"}
        body = {"Name": "theirs", "IPAM": {"Config": [config]}, "Options": {OPTION + "bridge.name": "admin0"}}
        assert api.ask("POST", "/networks/create", body)[0] == 201
        moby = api.moby
        moby("run", "-d", "--name", "guest", "--network", "theirs", IMAGE, *SLEEP)
        assert "172.30.0.1/24" in sh("ip", "-br", "address", "show", "dev", "admin0")
        moby("rm", "-f", "guest")
        moby("network", "rm", "theirs")
        assert api.state() == before
        assert sh("cat", "/proc/sys/net/ipv4/conf/admin0/route_localnet") == "0\n"
    finally:
        sh("ip", "link", "delete", "admin0")


def test_labels_of_a_megabyte(api: Api) -> None:
    large = "x" * (1 << 20)
    assert api.ask("POST", "/networks/create", {"Name": "labelled", "Labels": {"a": large}})[0] == 201
    assert api.client.call("GET", "/networks/labelled")["Labels"] == {"a": large}
    api.client.call("DELETE", "/networks/labelled")
    answer = api.ask("POST", "/networks/create", {"Name": "bad", "Labels": {"a": large * 5}})
    assert answer == (413, "request body is too large - at most 4194304 bytes of JSON")


# -- random bodies ---------------------------------------------------------------------------------


@pytest.fixture
def baseline(api: Api) -> object:
    return api.state()


@FUZZ
@given(body=CREATE | ANY)
def test_any_body_of_network_create(api: Api, baseline: object, body: object) -> None:
    status, said = api.ask("POST", "/networks/create", body)
    if status == 201:
        api.client.call("DELETE", f"/networks/{json.loads(said)['Id']}")
    else:
        assert 400 <= status < 500, (status, said)
    assert api.state() == baseline


@FUZZ
@given(settings=ENDPOINT | ANY, network=st.sampled_from(["further", "bridge", "app", "host", "none"]))
def test_any_body_of_connect(api: Api, baseline: object, settings: object, network: str) -> None:
    body = {"Container": "live", "EndpointConfig": settings}
    status, said = api.ask("POST", f"/networks/{network}/connect", body)
    if status == 200:
        api.client.call("POST", f"/networks/{network}/disconnect", {"Container": "live"})
    else:
        assert 400 <= status < 500, (status, said)
    assert api.state() == baseline


@FUZZ
@given(config=shaped(EndpointsConfig=ENDPOINTS) | ANY, mode=WORDS | ANY)
def test_any_networking_of_a_create(api: Api, baseline: object, config: object, mode: object) -> None:
    status, said = api.create(NetworkingConfig=config, HostConfig={"NetworkMode": mode})
    if status == 201:
        id = json.loads(said)["Id"]
        status, said = api.ask("POST", f"/containers/{id}/start")
        api.client.call("DELETE", f"/containers/{id}?force=1")
    assert status == 204 or 400 <= status < 500, (status, said)
    assert api.state() == baseline


def test_the_host_is_still_there(api: Api) -> None:
    """After all of this file: the remote machine answers, and a new container has a network."""
    assert " 0% packet loss" in api.lab.sh("busybox", "ping", "-c", "1", "-W", "4", "-I", HOST4, REMOTE4)
    found = api.moby(
        "run", "--rm", "--network", "app", IMAGE, "busybox", "ip", "-4", "-o", "addr", "show", "eth0"
    )
    assert "10.50.0." in found.stdout
