"""The names of containers, as containers see them: real namespaces, real queries, dnspython's eyes."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dns.flags
import dns.rcode
import pytest

from moby_components.common.dns import Client, Named
from support.resolving import Lab, ask, lab, values

pytestmark = pytest.mark.root

WEB = Named("n1", "c-web", ("web", "www", "0123456789ab"), ("10.9.0.2", "fd00:9::2"), domain="app.net")
DB = Named("n1", "c-db", ("db", "store"), ("10.9.0.3",), domain="app.net")
TWIN = Named("n1", "c-twin", ("twin", "www"), ("10.9.0.4",), domain="app.net")
FAR = Named("n2", "c-far", ("far",), ("10.10.0.2",), domain="back")


@pytest.fixture(scope="module")
def world() -> Iterator[Lab]:
    with lab() as made:
        made.upstream()
        yield made


@pytest.fixture(scope="module")
def box(world: Lab) -> Path:
    box = world.box("box")
    world.tell(WEB, DB, TWIN, FAR, Client("c-box", str(box), ("n1",)))
    return box


@pytest.mark.parametrize("name", ["web", "WEB", "0123456789ab", "web.app.net", "Web.APP.net", "web."])
def test_a_container_has_its_name_aliases_and_short_id(box: Path, name: str) -> None:
    answer = ask(box, name)
    assert (answer.rcode(), values(answer)) == (dns.rcode.NOERROR, ["10.9.0.2"])
    assert answer.flags & dns.flags.RA
    assert answer.answer[0].ttl == 600
    assert values(ask(box, name, "AAAA")) == ["fd00:9::2"]
    assert values(ask(box, name, tcp=True)) == ["10.9.0.2"]


def test_the_case_of_the_question_comes_back(box: Path) -> None:
    assert str(ask(box, "wEb.ApP.nEt").question[0].name) == "wEb.ApP.nEt."


def test_a_shared_alias_has_all_addresses_in_turn(box: Path) -> None:
    firsts = set()
    for _ in range(4):
        found = values(ask(box, "www"))
        assert sorted(found) == ["10.9.0.2", "10.9.0.4"]
        firsts.add(found[0])
    assert len(firsts) == 2


@pytest.mark.parametrize("kind", ["AAAA", "MX", "TXT", "SRV", "SOA", "HTTPS"])
def test_what_our_name_lacks_is_an_empty_answer_and_asks_nobody(world: Lab, box: Path, kind: str) -> None:
    upstream = world._upstreams[0]
    before = len(upstream.asked)
    answer = ask(box, "db", kind)
    assert (answer.rcode(), answer.answer) == (dns.rcode.NOERROR, [])
    assert len(upstream.asked) == before


def test_any_has_both_families(box: Path) -> None:
    assert values(ask(box, "web", "ANY")) == ["10.9.0.2", "fd00:9::2"]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("2.0.9.10.in-addr.arpa", "web.app.net."),
        ("2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.9.0.0.0.0.0.d.f.ip6.arpa", "web.app.net."),
        ("3.0.9.10.IN-ADDR.arpa", "db.app.net."),
    ],
)
def test_addresses_have_names(box: Path, address: str, name: str) -> None:
    assert values(ask(box, address, "PTR")) == [name]


def test_names_and_addresses_of_other_networks_are_not_ours(world: Lab, box: Path) -> None:
    assert values(ask(box, "far")) == ["192.0.2.1"]  # that is the resolver outside
    assert values(ask(box, "far.back")) == ["192.0.2.1"]
    assert "2.0.10.10.in-addr.arpa." not in world._upstreams[0].names()
    ask(box, "2.0.10.10.in-addr.arpa", "PTR")
    assert "2.0.10.10.in-addr.arpa." in world._upstreams[0].names()


def test_connect_rename_and_leave(world: Lab) -> None:
    box = world.box("mover")
    client = Client("c-mover", str(box), ("n1",))
    world.tell(client)
    assert values(ask(box, "far")) == ["192.0.2.1"]
    world.tell(Client("c-mover", str(box), ("n1", "n2")))
    assert values(ask(box, "far")) == ["10.10.0.2"]

    world.tell(Named("n2", "c-far", ("farther",), ("10.10.0.7",), domain="back"))
    assert values(ask(box, "farther")) == ["10.10.0.7"]
    assert values(ask(box, "far")) == ["192.0.2.1"]
    world.do(lambda resolver: resolver.unname("c-far", "n2"))
    assert values(ask(box, "farther")) == ["192.0.2.1"]
    world.tell(FAR)

    world.do(lambda resolver: resolver.dismiss("c-mover"))
    with pytest.raises(OSError, match="Connection refused"):
        ask(box, "far", tcp=True)


def test_the_first_network_that_has_the_family_answers(world: Lab) -> None:
    box = world.box("both")
    world.tell(
        Named("n3", "c-1", ("same",), ("10.11.0.2",)),
        Named("n4", "c-2", ("same",), ("10.12.0.2", "fd00:12::2")),
        Client("c-both", str(box), ("n3", "n4")),
    )
    assert values(ask(box, "same")) == ["10.11.0.2"]
    assert values(ask(box, "same", "AAAA")) == ["fd00:12::2"]
    assert values(ask(box, "same.n4")) == ["10.12.0.2"]


def test_edns_decides_what_fits_and_tcp_takes_all(world: Lab, box: Path) -> None:
    world.tell(*(Named("n1", f"c-many{i}", (f"many{i}", "many"), (f"10.9.1.{i}",)) for i in range(1, 101)))
    plain = ask(box, "many")
    assert plain.flags & dns.flags.TC
    assert len(plain.to_wire()) <= 512
    assert 0 < len(values(plain)) < 100
    assert plain.edns == -1
    wide = ask(box, "many", use_edns=0, payload=4096, want_dnssec=True)
    assert (len(values(wide)), wide.edns, wide.payload) == (100, 0, 1232)
    assert not wide.flags & dns.flags.TC
    assert wide.ednsflags & dns.flags.DO
    assert len(values(ask(box, "many", tcp=True))) == 100
    assert ask(box, "web", use_edns=1).rcode() == dns.rcode.BADVERS


def test_the_container_may_serve_port_53_itself(box: Path, world: Lab) -> None:
    def bind() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("0.0.0.0", 53))
        return sock

    own = world.inside(box, bind)
    try:
        assert values(ask(box, "web")) == ["10.9.0.2"]
        client = world.inside(box, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        client.sendto(b"mine", ("127.0.0.1", 53))
        own.settimeout(5)
        assert own.recv(100) == b"mine"
        client.close()
    finally:
        own.close()


def test_what_the_c_library_and_busybox_see(box: Path) -> None:
    command = ["nsenter", f"--net={box}", "busybox", "nslookup", "-type=a", "web.app.net", "127.0.0.11"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    assert "Address: 10.9.0.2" in said


def test_a_sandbox_that_is_not_there_is_said_and_forgotten(world: Lab) -> None:
    from moby_py.errors import RuntimeFailed

    gone = world.base / "gone"
    with pytest.raises(RuntimeFailed) as caught:
        world.tell(Client("c-gone-and-more-of-an-id", str(gone), ("n1",)))
    assert str(caught.value) == (
        f"cannot serve names to container c-gone-and-m - no such file or directory: {gone}"
    )
    plain = world.base / "plain"
    plain.touch()
    with pytest.raises(RuntimeFailed) as caught:
        world.tell(Client("c-gone-and-more-of-an-id", str(plain), ("n1",)))
    assert str(caught.value) == "cannot serve names to container c-gone-and-m - invalid argument: setns"


def test_a_new_sandbox_at_the_same_path_is_served_anew(world: Lab) -> None:
    from moby_components.common.mounts import umount

    box = world.box("again")
    client = Client("c-again", str(box), ("n1",))
    world.tell(client)
    umount(box, lazy=True)
    box.unlink()
    box = world.box("again")
    world.tell(client)
    assert values(ask(box, "web")) == ["10.9.0.2"]
