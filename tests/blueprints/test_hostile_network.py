"""Containers that mean harm to the network of a whole platform (issue 2, line 5).

During each attack a neighbour goes on: it finds `web` by name (over UDP, and over TCP), gets its page,
and nothing of it takes long. Afterwards nothing is left and the daemon's log has no traceback.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from support import attacking as attacks
from support.lab import HOST4, Lab, lab
from support.platform import TestPlatform, platform

pytestmark = [pytest.mark.root, pytest.mark.timeout(60)]
IMAGE = "tools"
SLEEP = ("sh", "-c", "while :; do busybox sleep 60; done")
SERVE = "busybox mkdir -p /w; echo {name} > /w/index.html; exec busybox httpd -f -p 80 -h /w"
HARMFUL = ("--cap-add", "NET_ADMIN", "--cap-add", "NET_RAW")
SLOWEST = 6.0
"""Seconds for a name and a page while somebody else floods two processors that other tests use too."""


@dataclass(repr=False)
class Town:
    """A platform with network `app` (both versions of IP): `web` serves a page, `client` and `client-tcp`
    ask for it, `evil` has CAP_NET_ADMIN and CAP_NET_RAW."""

    moby: TestPlatform
    lab: Lab

    def exec(self, name: str, *command: str) -> str:
        return self.moby("exec", name, *command).stdout

    def address(self, name: str) -> tuple[str, str, str]:
        """IPv4, IPv6, MAC."""
        found = json.loads(self.moby("inspect", name).stdout)[0]["NetworkSettings"]["Networks"]["app"]
        return found["IPAddress"], found["GlobalIPv6Address"], found["MacAddress"]

    @contextlib.contextmanager
    def attack(self, program: str, *args: str) -> Iterator[subprocess.Popen[str]]:
        """A perl program in the evil container that goes on until the block ends."""
        started = subprocess.Popen(
            self.moby.command("exec", "evil", "perl", "-e", program, *args),
            stdout=subprocess.PIPE,
            text=True,
            env=self.moby.env,
        )
        assert started.stdout
        with started.stdout:
            try:
                assert started.stdout.readline() == "begun\n"
                yield started
                assert started.poll() is None, "it went on until now"
            finally:
                self.moby("exec", "evil", "busybox", "killall", "-9", "perl", check=False)
                started.wait(20)

    def send(self, times: int, sent: list[bytes]) -> tuple[str, ...]:
        """Program and arguments for these frames out of the evil container's interface."""
        index = self.exec("evil", "busybox", "cat", "/sys/class/net/eth0/ifindex").strip()
        return attacks.SEND, index, str(times), *(frame.hex() for frame in sent)

    def serves(self, rounds: int = 6) -> None:
        """By name and quickly, for both clients, and from outside."""
        each = "curl -sS -m 8 -o /dev/null -w '%{http_code} %{time_total} ' http://web/ 2>&1; "
        for name in ("client", "client-tcp"):
            words = self.exec(name, "sh", "-c", each * rounds).split()
            assert words[::2] == ["200"] * rounds, (name, words)
            assert max(map(float, words[1::2])) < SLOWEST, (name, words)
        assert self.lab.get(HOST4, 8080, at="remote") == b"web\n"


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    with lab() as here, platform("bridge.yaml", user=here.prefix) as moby:
        moby("image", "from-host", "-t", IMAGE, "sh", "busybox", "curl", "perl", "nft", "ip")
        moby("network", "create", "--ipv6", "app")
        run = ("run", "-d", "--network", "app", "--name")
        moby(*run, "web", "-p", "8080:80", IMAGE, "sh", "-c", SERVE.format(name="web"))
        moby(*run, "client", IMAGE, *SLEEP)
        moby(*run, "client-tcp", "-e", "RES_OPTIONS=use-vc", IMAGE, *SLEEP)
        moby(*run, "evil", *HARMFUL, IMAGE, *SLEEP)
        made = Town(moby, here)
        made.serves(1)
        yield made
        made.serves(1)
        assert "Traceback" not in (moby.state / "daemon.log").read_text()
        assert set(moby("ps", "--format", "{{.Names}}").stdout.split()) == {
            "web",
            "client",
            "client-tcp",
            "evil",
        }
        moby("rm", "-f", *moby("ps", "-aq").stdout.split())
        moby("network", "rm", "app")
        moby.down()
        assert here.leftovers() == []


@pytest.mark.parametrize("program", [attacks.UDP_FLOOD, attacks.TCP_FLOOD], ids=["udp", "tcp"])
@pytest.mark.parametrize("name", ['"web"', '"x".rand().".example"'], ids=["known", "unknown"])
def test_a_flood_of_queries(town: Town, program: str, name: str) -> None:
    with town.attack(program, name):
        town.serves()


def test_malformed_queries(town: Town) -> None:
    assert town.exec("evil", "perl", "-e", attacks.MALFORMED) == "done"
    town.serves()
    assert "evil" in town.exec("evil", "busybox", "nslookup", "evil", "127.0.0.11"), (
        "and it is still answered"
    )


def test_five_hundred_connections_to_the_resolver(town: Town) -> None:
    with town.attack(attacks.CONNECTIONS, "500") as running:
        assert running.stdout
        assert running.stdout.readline() == "500\n"
        town.serves()


def claims(town: Town, victim: str) -> list[bytes]:
    """All that would make neighbours and the host send the victim's packets to `evil`."""
    ipv4, ipv6, hardware = town.address(victim)
    own4, own6, own = town.address("evil")
    client4, _, _ = town.address("client")
    gateway = own4.rpartition(".")[0] + ".1"
    return [
        attacks.arp(own, own, ipv4, client4),
        attacks.arp(own, own, ipv4, gateway),
        attacks.arp(own, own, gateway, client4),
        attacks.arp(hardware, hardware, ipv4, client4),  # the bridge would learn a new port for it
        attacks.arp(hardware, own, ipv4, client4),
        attacks.advertise_neighbour(own, ipv6, ipv6, own),
        attacks.advertise_neighbour(own, own6, ipv6, own),
        attacks.advertise_neighbour(hardware, ipv6, ipv6, own),
        attacks.udp4(hardware, attacks.BROADCAST, ipv4, client4, 9, b"x"),
    ]


def test_forged_neighbours(town: Town) -> None:
    """By raw frames, and by taking the address itself, with a server of its own that waits for guests."""
    ipv4, ipv6, hardware = town.address("web")
    town.exec("evil", "ip", "address", "add", f"{ipv4}/32", "dev", "eth0")
    town.exec("evil", "ip", "address", "add", f"{ipv6}/128", "dev", "eth0", "nodad")
    town.exec("evil", "sh", "-c", SERVE.replace("exec ", "").format(name="evil").replace("-f ", ""))
    sent = town.send(100_000, claims(town, "web"))
    with town.attack(*sent):
        town.serves()
        for host in ("web", ipv4, f"[{ipv6}]"):
            # A container whose neighbour table is empty asks who has the address.
            fresh = (
                "run",
                "--rm",
                "--network",
                "app",
                IMAGE,
                "curl",
                "-sS",
                "-g",
                "-m",
                "8",
                f"http://{host}/",
            )
            assert town.moby(*fresh).stdout == "web\n", host
        assert town.lab.get(ipv4, 80) == b"web\n"
        assert town.lab.get(ipv6, 80) == b"web\n"
        for address in (ipv4, ipv6):
            guest = "[" + address + "]" if ":" in address else address
            assert town.exec("client", "curl", "-sS", "-g", "-m", "8", f"http://{guest}/") == "web\n"
            assert hardware in town.exec("client", "ip", "neigh", "show", address)
    own = town.address("evil")[2]
    town.exec("evil", "ip", "link", "set", "eth0", "address", hardware)
    with town.attack(*sent):
        town.serves(2)
    town.exec("evil", "ip", "link", "set", "eth0", "address", own)
    town.exec("evil", "busybox", "killall", "busybox")
    town.exec("evil", "ip", "address", "del", f"{ipv4}/32", "dev", "eth0")
    town.exec("evil", "ip", "address", "del", f"{ipv6}/128", "dev", "eth0")
    assert town.exec("evil", "curl", "-sS", "-m", "8", "http://web/") == "web\n"


def test_router_advertisements(town: Town) -> None:
    _, own6, own = town.address("evil")
    local = next(
        word.partition("/")[0]
        for word in town.exec("evil", "ip", "-6", "-o", "address", "show", "dev", "eth0").split()
        if word.startswith("fe80")
    )

    def state() -> list[str]:
        shown = [town.exec("client", "ip", "-6", "-o", what) for what in ("address", "route")]
        return [*shown, town.lab.sh("ip", "-6", "-o", "address"), town.lab.sh("ip", "-6", "-o", "route")]

    before = state()
    sent = [attacks.advertise_router(own, source, "2001:db8:bad::") for source in (local, own6)]
    assert town.exec("evil", "perl", "-e", *town.send(20, sent)) == "begun\n"
    assert state() == before
    town.serves(1)


DAMAGE = {
    "renamed": "ip link set eth0 name other0",
    "deleted": "ip link delete eth0",
    "no routes, no addresses": "ip route flush table main; ip address flush dev eth0; ip link set lo down",
    "no rules": "nft flush ruleset",
    "all taken": "for n in 1 2 3; do ip link add eth$n type dummy; done; ip link add docker0 type bridge",
    "another MAC, another MTU": "ip link set eth0 address 02:00:00:00:00:99; ip link set eth0 mtu 68 down",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_container_that_breaks_its_own_network(town: Town, damage: str) -> None:
    moby, before = town.moby, (town.lab.interfaces(), town.lab.rules())
    try:
        for leave in ("disconnect", "stop", "rm"):
            moby("run", "-d", "--name", "self", "--network", "app", *HARMFUL, IMAGE, *SLEEP)
            moby("exec", "self", "sh", "-c", damage)
            if leave == "disconnect":
                moby("network", "disconnect", "app", "self")
                moby("network", "connect", "app", "self", check=False)  # its name may be taken in there
                moby("restart", "-t", "0", "self")
                moby("network", "connect", "app", "self", check=False)
                assert moby("exec", "self", "curl", "-sS", "-m", "8", "http://web/").stdout == "web\n"
            if leave == "stop":
                moby("stop", "-t", "0", "self")
                assert (town.lab.interfaces(), town.lab.rules()) == before
            moby("rm", "-f", "self")
            assert (town.lab.interfaces(), town.lab.rules()) == before, leave
    finally:
        moby("rm", "-f", "self", check=False)
    town.serves(1)


def test_two_thousand_published_ports(town: Town) -> None:
    before, begun = town.lab.rules(), time.monotonic()
    serve = SERVE.format(name="many").replace("exec", "busybox httpd -p 20000 -h /w; exec")
    options = ("--name", "many", "--network", "app", "-p", "20000-21999:20000-21999")
    try:
        town.moby("run", "-d", *options, IMAGE, "sh", "-c", serve.replace("-p 80", "-p 21999"))
        assert time.monotonic() - begun < 15
        for port in (20000, 21999):
            assert town.lab.get(HOST4, port, at="remote") == b"many\n"
    finally:
        town.moby("rm", "-f", "many")
    assert time.monotonic() - begun < 25
    assert town.lab.rules() == before


def test_more_published_ports_than_the_daemon_has_descriptors() -> None:
    few = ("prlimit", "--nofile=1024:1024")
    with lab() as here, platform("bridge.yaml", user=(*here.prefix, *few)) as moby:
        moby("image", "from-host", "-t", IMAGE, "busybox")
        sleep = (IMAGE, "busybox", "sleep", "60")
        done = moby("run", "-d", "--name", "many", "-p", "20000-21999:20000-21999", *sleep, check=False)
        assert done.returncode == 125
        assert "driver failed programming external connectivity on endpoint many" in done.stderr
        assert "/tcp: too many open files\n" in done.stderr
        moby("rm", "-f", "many")
        moby("run", "-d", "--name", "few", "-p", "20000-20049:20000-20049", *sleep)
        moby("rm", "-f", "few")
        moby.down()
        assert here.leftovers() == []
