"""The host's 127.0.0.1 is the host's alone, on every network that opens it to published ports.

Those ports answer at 127.0.0.1 by route_localnet, which alone would let containers in, too; and what a
port at 127.0.0.1 leads to would be reached by any machine on the same cable (moby issue 45610).
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from support import attacking as attacks
from support.lab import HOST4, REMOTE4, Lab, lab
from support.platform import TestPlatform, platform

pytestmark = [pytest.mark.root, pytest.mark.timeout(60)]
IMAGE = "tools"


@dataclass(repr=False)
class Town:
    """Container `evil` with its default capabilities, NET_RAW among them, and `dns` that repeats what it
    gets at the host's 127.0.0.1:53."""

    moby: TestPlatform
    lab: Lab

    def evil(self) -> tuple[str, str, str, str]:
        """(address, MAC, gateway, MAC of the bridge)."""
        found = json.loads(self.moby("inspect", "evil").stdout)[0]["NetworkSettings"]["Networks"]["app"]
        own, gateway = found["IPAddress"], found["Gateway"]
        hardware = self.moby("exec", "evil", "busybox", "cat", "/sys/class/net/eth0/address").stdout.strip()
        links = json.loads(self.lab.sh("ip", "-j", "address"))
        bridge = next(x for x in links if any(a.get("local") == gateway for a in x["addr_info"]))
        return own, hardware, gateway, bridge["address"]


@pytest.fixture(scope="module", params=["bridge", "cni", "netavark"])
def town(request: pytest.FixtureRequest) -> Iterator[Town]:
    with lab() as here:
        with platform("bridge.yaml", sets=[f"components.network={request.param}"], user=here.prefix) as moby:
            moby("image", "from-host", "-t", IMAGE, "sh", "busybox", "perl")
            moby("network", "create", "app")
            run = ("run", "-d", "--network", "app", "--name")
            moby(*run, "evil", IMAGE, "busybox", "sleep", "600")
            moby(*run, "dns", "-p", "127.0.0.1:53:53/udp", IMAGE, "perl", "-e", attacks.ECHO_AT_53)
            yield Town(moby, here)
            moby("rm", "-f", "evil", "dns")
            moby("network", "rm", "app")
        assert here.leftovers() == []


class Ear:
    """A UDP server in the host's namespace that remembers what it hears."""

    def __init__(self, town: Town, address: str) -> None:
        self.heard: list[bytes] = []

        def listen() -> socket.socket:
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.bind((address, 0))
            return made

        self.socket = town.lab.inside(listen)
        self.port: int = self.socket.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while data := self.socket.recv(100):
                self.heard.append(data)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


@pytest.fixture
def ears(town: Town) -> Iterator[tuple[Ear, Ear]]:
    """(at 127.0.0.1, everywhere)"""
    both = Ear(town, "127.0.0.1"), Ear(town, "0.0.0.0")
    yield both
    for ear in both:
        ear.close()


def test_out_of_reach_for_containers(town: Town, ears: tuple[Ear, Ear]) -> None:
    closed, anywhere = ears
    own4, own, gateway, hardware = town.evil()
    settings = town.lab.sh("sh", "-c", "cat /proc/sys/net/ipv4/conf/*/route_localnet")
    assert "1" in settings, "else there is nothing to guard"
    targets = ("127.0.0.1", "127.255.255.254", "127.0.0.11", gateway, HOST4, "169.254.169.254")
    sent = [
        attacks.udp4(own, hardware, own4, target, port, text)
        for target in targets
        for port, text in ((closed.port, b"inside"), (anywhere.port, target.encode()))
    ]
    index = town.moby("exec", "evil", "busybox", "cat", "/sys/class/net/eth0/ifindex").stdout.strip()
    words = (attacks.SEND, index, "3", *(frame.hex() for frame in sent))
    assert town.moby("exec", "evil", "perl", "-e", *words).stdout == "begun\n"
    # What is meant for everybody is heard: the frames are right.
    wanted = {gateway.encode(), HOST4.encode()}
    end = time.monotonic() + 5
    while not wanted <= set(anywhere.heard) and time.monotonic() < end:
        time.sleep(0.02)
    assert set(anywhere.heard) == wanted
    assert closed.heard == []
    for target in (gateway, HOST4):
        failed = town.moby("exec", "evil", "busybox", "nc", "-w", "2", target, str(closed.port), check=False)
        assert failed.returncode == 1


def test_ports_published_there_are_not_for_the_cable(town: Town) -> None:
    """A machine on the same cable writes frames to 127.0.0.1. Port 53 is also the resolver's inside."""
    assert town.lab.ask("127.0.0.1", 53, b"from the host") == b"from the host"
    macs = {
        at: json.loads(town.lab.sh("ip", "-j", "link", "show", "dev", "cable", at=at))[0]["address"]
        for at in ("host", "remote")
    }
    frame = attacks.udp4(macs["remote"], macs["host"], REMOTE4, "127.0.0.1", 53, b"from afar")

    def send() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as link:
            link.bind(("cable", 0))
            for _ in range(5):
                link.send(frame)

    town.lab.inside(send, at="remote")
    for ask in ("after", "wards"):
        assert town.lab.ask("127.0.0.1", 53, ask.encode()) == ask.encode()
    assert town.moby("logs", "dns").stdout == "from the host\nafter\nwards\n"
    found = town.moby("exec", "dns", "busybox", "nslookup", "evil", check=False).stdout
    assert town.evil()[0] in found, "it finds names itself"
