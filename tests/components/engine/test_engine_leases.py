"""Addresses of a network against a simple reference: random connects, disconnects, ends and crashes of
200 containers on one bridge; no address is ever given twice."""

from __future__ import annotations

import random
from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moby_components.engine.moby.db import Database
from moby_components.engine.moby.networking.leases import Leases
from moby_components.engine.moby.networking.pools import pool
from moby_py.errors import InvalidArgument, PermissionDenied, Unavailable

NET = "n" * 64


class Reference:
    """What a user would say: who has what, who runs. It does not know how addresses are chosen."""

    def __init__(self, subnet: str, gateway: str) -> None:
        self.subnet, self.gateway = subnet, ip_address(gateway)
        self.held: dict[str, str] = {}
        self.running: set[str] = set()

    def check(self, book: Leases, rows: list, everyone: list[str]) -> None:
        shown = {who: book.of(who)[0] for who in everyone}
        got = {who: address for who, address in shown.items() if address}
        assert got == self.held
        assert len(set(got.values())) == len(got), "an address was given twice"
        assert {(row.holder, row.address) for row in rows} == {
            (who, address.partition("/")[0]) for who, address in got.items()
        }
        network = ip_interface(self.subnet).network
        for address in got.values():
            value = ip_interface(address)
            assert value.network == network
            assert value.ip not in (self.gateway, network.network_address, network.broadcast_address)


class House:
    """The product: leases with real rows in a real database, which survive a crash of the book."""

    def __init__(self, path: Path, subnet: str, running: set[str]) -> None:
        self.path, self.running = path, running
        self.pools = [pool({"Subnet": subnet})]
        self.open()

    def open(self) -> None:
        self.db = Database(self.path)
        self.book = Leases(NET, "net", self.pools, lambda who: who not in self.running)
        self.book.load(self.db.leases())

    def crash(self) -> None:
        self.db.close()
        self.open()

    def connect(self, who: str, wanted: str = "") -> str:
        change = self.book.take(who, wanted)
        with self.db.transaction():
            self.db.change_leases(change.added, change.removed)
        return self.book.of(who)[0]

    def disconnect(self, who: str) -> None:
        freed = self.book.free(who)
        with self.db.transaction():
            self.db.change_leases([], freed)


def walk(tmp_path: Path, subnet: str, containers: int, steps: int, seed: int) -> int:
    chance = random.Random(seed)
    reference = Reference(subnet, str(pool({"Subnet": subnet}).gateway))
    house = House(tmp_path / f"{seed}.db", subnet, reference.running)
    everyone = [f"{n:064x}" for n in range(containers)]
    refused = 0
    for step in range(steps):
        who = chance.choice(everyone)
        match chance.choices(["connect", "disconnect", "end", "crash", "ask"], [50, 20, 20, 2, 8])[0]:
            case "connect":
                refused += not start(house, reference, who)
            case "ask":
                network = ip_interface(subnet).network
                wanted = str(network[chance.randrange(network.num_addresses)])
                refused += not start(house, reference, who, wanted)
            case "disconnect":
                reference.running.discard(who)
                reference.held.pop(who, None)
                house.disconnect(who)
            case "end":
                reference.running.discard(who)
            case "crash":
                house.crash()
        if step % 50 == 0 or step == steps - 1:
            reference.check(house.book, house.db.leases(), everyone)
    house.db.close()
    return refused


def start(house: House, reference: Reference, who: str, wanted: str = "") -> bool:
    before = reference.held.get(who)
    if who in reference.running:
        return True
    network = ip_interface(reference.subnet).network
    try:
        got = house.connect(who, wanted)
    except (PermissionDenied, InvalidArgument, Unavailable) as error:
        if isinstance(error, Unavailable):  # only when every address is used by somebody who runs
            used = sum(other in reference.running for other in reference.held)
            assert used >= network.num_addresses - 3
        elif isinstance(error, PermissionDenied):
            owner = {a.partition("/")[0]: w for w, a in reference.held.items()}.get(wanted)
            assert owner in reference.running or wanted == str(reference.gateway)
        else:
            assert wanted in (str(network[0]), str(network[-1]))
        return False
    if wanted:
        assert got.partition("/")[0] == wanted
    elif before:
        assert got == before, "a container that comes back has the address it had"
    for other in [w for w, address in reference.held.items() if address == got and w != who]:
        assert other not in reference.running, "taken from somebody who runs"
        del reference.held[other]
    reference.held[who] = got
    reference.running.add(who)
    return True


@pytest.mark.parametrize("seed", range(3))
def test_200_containers_2000_steps(tmp_path: Path, seed: int) -> None:
    walk(tmp_path, "10.9.0.0/16", 200, 2000, seed)


def test_200_containers_that_do_not_fit(tmp_path: Path) -> None:
    assert walk(tmp_path, "10.9.0.0/25", 200, 2000, 7) > 0


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1 << 32), length=st.integers(24, 30), containers=st.integers(2, 40))
def test_any_walk(tmp_path: Path, seed: int, length: int, containers: int) -> None:
    path = tmp_path / f"{seed}.db"
    for left in (path, path.with_suffix(".db-wal"), path.with_suffix(".db-shm")):
        left.unlink(missing_ok=True)
    walk(tmp_path, f"10.9.8.0/{length}", containers, 120, seed)


def test_an_address_just_left_rests(tmp_path: Path) -> None:
    house = House(tmp_path / "e.db", "10.9.0.0/24", set())
    first = house.connect("a")
    house.disconnect("a")
    assert house.connect("b") != first
    house.db.close()


def test_both_versions_and_gateways() -> None:
    pools = [pool({"Subnet": "10.9.0.0/24", "Gateway": "10.9.0.254"}), pool({"Subnet": "fd00:9::/64"})]
    book = Leases(NET, "net", pools, lambda _: True)
    book.take("a")
    assert book.of("a") == ("10.9.0.1/24", "fd00:9::2/64")
    assert book.gateway(4, "10.9.0.1/24") == "10.9.0.254"
    assert book.gateway(6, "fd00:9::2/64") == "fd00:9::1"
    assert book.gateway(6, "") == ""


@pytest.mark.parametrize(
    ("wanted", "message", "hint"),
    [
        (
            "10.8.0.1",
            "invalid endpoint settings: no configured subnet contains IP address 10.8.0.1",
            "network net has 10.9.0.0/24",
        ),
        ("10.9.0.1", "Address already in use", None),
        ("x", "invalid IPv4 address: x", None),
        (
            "10.9.0.255",
            "invalid endpoint settings: no configured subnet contains IP address 10.9.0.255",
            "network net has 10.9.0.0/24",
        ),
    ],
)
def test_wishes_that_cannot_be(wanted: str, message: str, hint: str | None) -> None:
    book = Leases(NET, "net", [pool({"Subnet": "10.9.0.0/24"})], lambda _: False)
    book.take("a")
    with pytest.raises((InvalidArgument, PermissionDenied)) as caught:
        book.take("b", wanted)
    assert (caught.value.message, caught.value.hint) == (message, hint)
    assert book.of("b") == ("", "")


def test_nothing_changes_when_one_version_fails() -> None:
    pools = [pool({"Subnet": "10.9.0.0/24"}), pool({"Subnet": "fd00:9::/64"})]
    book = Leases(NET, "net", pools, lambda _: False)
    with pytest.raises(InvalidArgument):
        book.take("a", "10.9.0.7", "fd00:8::1")
    assert len(book) == 0
