"""Runtimes with a stack of their own ask the gateway of their network; it knows them by their address."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.exception
import dns.rcode
import pytest

from moby_components.common.dns import Client, Named
from moby_components.common.netns import run_in
from moby_py.errors import RuntimeFailed
from support.resolving import Lab, ask, lab, query, values

pytestmark = pytest.mark.root

GATEWAYS = ("10.9.0.1", "fd00:9::1")


def shell(space: Path, script: str) -> None:
    subprocess.run(["nsenter", f"--net={space}", "sh", "-ec", script], check=True, timeout=20)


@pytest.fixture
def made() -> Iterator[Lab]:
    """A bridge in a world of its own with three containers on it; the host's resolvers are elsewhere."""
    with lab() as made:
        made.upstream()
        world = made.box("world")
        shell(world, "ip link set lo up; ip link add br0 type bridge; ip link set br0 up")
        for number in (2, 3, 4):
            box = made.box(f"box{number}")
            fd = os.open(box, os.O_RDONLY)
            try:
                script = (
                    f"ip link add p{number} type veth peer name eth0 netns /proc/{os.getpid()}/fd/{fd}; "
                    f"ip link set p{number} master br0 up"
                )
                shell(world, script)
            finally:
                os.close(fd)
            shell(
                box,
                f"ip link set lo up; ip link set eth0 up; ip addr add 10.9.0.{number}/24 dev eth0; "
                f"ip addr add fd00:9::{number}/64 dev eth0 nodad",
            )
        made.tell(
            Named("n1", "c2", ("two",), ("10.9.0.2", "fd00:9::2")),
            Named("n2", "c3", ("three",), ("10.9.0.3",)),
        )
        yield made


def client(made: Lab, number: int, *networks: str, **options: Any) -> Client:
    addresses = (f"10.9.0.{number}", f"FD00:9:0::{number}")
    world = str(made.base / "world")
    return Client(f"c{number}", "", networks, listen=GATEWAYS, addresses=addresses, world=world, **options)


def bridge_addresses(made: Lab) -> None:
    script = "ip addr add 10.9.0.1/24 dev br0; ip addr add fd00:9::1/64 dev br0 nodad"
    shell(made.base / "world", script)


def test_each_asker_sees_its_own_networks_at_the_same_gateway(made: Lab) -> None:
    # The gateway's addresses may come after its sockets.
    made.tell(client(made, 2, "n1"), client(made, 3, "n2"))
    bridge_addresses(made)
    two, three, four = (made.base / f"box{number}" for number in (2, 3, 4))
    for gateway in GATEWAYS:
        for tcp in (False, True):
            assert values(ask(two, "two", at=gateway, tcp=tcp)) == ["10.9.0.2"]
            assert values(ask(two, "three", at=gateway, tcp=tcp)) == ["192.0.2.1"]
            assert values(ask(three, "three", at=gateway, tcp=tcp)) == ["10.9.0.3"]
        # A neighbour that is nobody's client gets no answer at all.
        with pytest.raises(dns.exception.Timeout):
            ask(four, "two", at=gateway, timeout=0.5)
        with pytest.raises((OSError, EOFError)):
            ask(four, "two", at=gateway, tcp=True, timeout=2)

    # Networks change, the sockets stay; who goes is not answered any more, the last one closes them.
    made.tell(client(made, 2, "n1", "n2"))
    assert values(ask(two, "three", at="10.9.0.1")) == ["10.9.0.3"]
    made.do(lambda resolver: resolver.dismiss("c2"))
    with pytest.raises(dns.exception.Timeout):
        ask(two, "two", at="10.9.0.1", timeout=0.5)
    assert values(ask(three, "three", at="10.9.0.1")) == ["10.9.0.3"]
    made.do(lambda resolver: resolver.dismiss("c3"))
    with pytest.raises(OSError, match="Connection refused"):
        ask(three, "three", at="10.9.0.1", tcp=True)


def test_without_a_sandbox_nobody_is_asked_for_an_internal_network(made: Lab) -> None:
    bridge_addresses(made)
    made.tell(client(made, 2, "n1", forward=False))
    two = made.base / "box2"
    assert ask(two, "x.example", at="10.9.0.1").rcode() == dns.rcode.SERVFAIL
    made.tell(client(made, 2, "n1", forward=False, upstream=("127.0.0.1",)))
    assert ask(two, "x.example", at="10.9.0.1").rcode() == dns.rcode.SERVFAIL
    made.tell(client(made, 2, "n1", upstream=("127.0.0.1",)))
    assert values(ask(two, "x.example", at="10.9.0.1")) == ["192.0.2.1"]


def test_a_gateway_whose_port_is_taken_is_said(made: Lab) -> None:
    bridge_addresses(made)
    world = made.base / "world"
    taken = made.upstream("10.9.0.1", space=world)
    with pytest.raises(RuntimeFailed) as caught:
        made.tell(client(made, 2, "n1"))
    assert str(caught.value) == "cannot serve names to container c2 - address already in use"
    taken.close()
    made.tell(client(made, 2, "n1"))
    assert values(ask(made.base / "box2", "two", at="10.9.0.1")) == ["10.9.0.2"]


@pytest.mark.slow
def test_a_neighbour_who_floods_the_gateway_fills_only_his_own_queue(made: Lab) -> None:
    bridge_addresses(made)
    made.tell(client(made, 2, "n1"), client(made, 3, "n1"))
    end = threading.Event()
    wire = query("two").to_wire()

    def flood(gateway: str) -> None:
        family = socket.AF_INET6 if ":" in gateway else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((gateway, 53))
            while not end.is_set():
                with contextlib.suppress(OSError):
                    sock.send(wire)

    for gateway in GATEWAYS:
        end.clear()
        thread = threading.Thread(target=run_in, args=(made.base / "box2", lambda at=gateway: flood(at)))
        thread.start()
        try:
            time.sleep(0.3)
            for _ in range(100):
                assert values(ask(made.base / "box3", "two", at=gateway, timeout=1.0)) == ["10.9.0.2"]
        finally:
            end.set()
            thread.join()
