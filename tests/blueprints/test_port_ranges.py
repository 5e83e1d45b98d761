"""`-p 9000-9001:90` takes a free port of the range on every network component, and says when none is."""

from __future__ import annotations

import json
import socket

import pytest

from moby_components.engine.moby.rendering.check import check
from moby_components.engine.moby.rendering.network import ports
from moby_components.network.remote.words import port_options, taken_ports
from moby_py.errors import InvalidArgument
from moby_py.model import PortBinding
from support.lab import lab
from support.platform import platform

SLEEP = ("tools", "sleep", "600")


@pytest.mark.root
@pytest.mark.timeout(180)
@pytest.mark.parametrize("network", ["bridge", "cni", "netavark", "pasta"])
def test_a_range_of_host_ports(network: str) -> None:
    sets = ("components.runtime=[crun]", f"components.network={network}")
    with lab() as here, platform("quickstart.yaml", sets=sets, user=here.prefix) as moby:
        moby("image", "from-host", "-t", "tools", "sh", "sleep")

        def published(name: str) -> tuple[str, int]:
            ports = json.loads(moby.docker("inspect", "-f", "{{json .NetworkSettings.Ports}}", name).stdout)
            [(inside, bindings)] = ports.items()
            [number] = {binding["HostPort"] for binding in bindings}
            return inside, int(number)

        # A program of the host has the first one.
        with here.inside(lambda: socket.create_server(("0.0.0.0", 9000))):
            for number, name in ((9001, "one"), (9002, "two")):
                moby.docker("run", "-d", "--name", name, "-p", "9000-9002:90", *SLEEP)
                assert published(name) == ("90/tcp", number)
            done = moby.docker("run", "-d", "--name", "three", "-p", "9000-9002:90", *SLEEP, check=False)
            assert done.returncode == 125
            assert ":9000-9002 failed: all ports are allocated" in done.stderr
        moby.docker("start", "three")
        assert published("three") == ("90/tcp", 9000)
        moby.docker("rm", "-f", "one")
        # A restart of the daemon keeps the number that was taken, not the range.
        moby.kill_daemon()
        moby.up()
        assert published("two") == ("90/tcp", 9002)
        moby.docker("run", "-d", "--name", "four", "-p", "9000-9002:53/udp", *SLEEP)
        assert published("four") == ("53/udp", 9000)
        moby.docker("run", "-d", "--name", "five", "-p", "9000-9002:90", *SLEEP)
        assert published("five") == ("90/tcp", 9001)
        moby.docker("restart", "-t", "0", "two")
        assert published("two") == ("90/tcp", 9002)


def test_a_remote_driver_is_told_the_range_and_tells_what_it_took() -> None:
    wanted = (
        PortBinding(container_port=80, host_port=8000, host_port_end=8009),
        PortBinding(container_port=81, host_port=8100),
        PortBinding(container_port=82),
    )
    told = port_options(wanted)["com.docker.network.portmap"]
    assert [(one["HostPort"], one["HostPortEnd"]) for one in told] == [(8000, 8009), (8100, 8100), (0, 0)]
    reported = [
        {"Proto": 6, "Port": 80, "HostPort": 8004},
        {"Proto": 6, "Port": 81, "HostPort": 8100},
        {"Proto": 6, "Port": 82, "HostPort": 32768},
    ]
    taken = taken_ports({"Value": {"com.docker.network.portmap": reported}}, wanted)
    assert [(p.host_port, p.host_port_end) for p in taken] == [(8004, 0), (8100, 0), (32768, 0)]
    silent = taken_ports({}, wanted)
    assert [(p.host_port, p.host_port_end) for p in silent] == [(8000, 0), (8100, 0), (0, 0)]


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [("", 0, 0), ("0", 0, 0), ("80", 80, 0), ("80-80", 80, 0), ("80-81", 80, 81), ("1-65535", 1, 65535)],
)
def test_host_ports_of_a_create_body(text: str, first: int, last: int) -> None:
    [found] = ports({"HostConfig": {"PortBindings": {"90/tcp": [{"HostPort": text}]}}})
    assert (found.host_port, found.host_port_end) == (first, last)


@pytest.mark.parametrize("text", ["9-8", "0-5", "65536", "1-65536", "a", "1-", "-1", "1-2-3", "８"])
def test_host_ports_that_are_none(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check(
            {"HostConfig": {"PortBindings": {"90/tcp": [{"HostPort": text}]}}}, "c" * 64, default_network="x"
        )
    assert caught.value.message == f"invalid port specification: '{text}'"
