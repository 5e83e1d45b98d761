"""What is not ours goes to the resolvers outside: in order, bounded, unaltered, from where it should."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rrset
import pytest

from moby_components.common.dns import Client
from moby_components.common.netns import run_in
from support.resolving import Lab, address, ask, lab, query, rcode, values

pytestmark = pytest.mark.root


@pytest.fixture
def world() -> Iterator[Lab]:
    with lab() as made:
        yield made


def asker(world: Lab, name: str = "box", **options: object) -> Path:
    box = world.box(name)
    world.tell(Client(f"c-{name}", str(box), ("n1",), **options))  # type: ignore[arg-type]
    return box


def test_the_hosts_loopback_resolver_is_asked_and_its_file_read_again(world: Lab) -> None:
    first, second = world.upstream("127.0.0.1"), world.upstream("127.0.0.2", address("192.0.2.2"))
    box = asker(world)
    assert values(ask(box, "one.example")) == ["192.0.2.1"]
    assert values(ask(box, "one.example", tcp=True)) == ["192.0.2.1"]
    world.resolv_conf.write_text("# moved\nsearch x\nnameserver nonsense\nnameserver 127.0.0.2\n")
    assert values(ask(box, "two.example")) == ["192.0.2.2"]
    assert (first.names(), second.names()) == (["one.example.", "one.example."], ["two.example."])
    world.resolv_conf.unlink()
    assert ask(box, "three.example").rcode() == dns.rcode.SERVFAIL


def test_failing_refusing_silent_and_absent_servers_are_passed_over(world: Lab) -> None:
    world.resolv_conf.write_text("nameserver 127.0.0.1\nnameserver 127.0.0.2\nnameserver 127.0.0.3\n")
    box = asker(world)
    assert ask(box, "nobody.example").rcode() == dns.rcode.SERVFAIL
    last = world.upstream("127.0.0.3", address("192.0.2.3"))
    assert values(ask(box, "absent.example")) == ["192.0.2.3"]
    first = world.upstream("127.0.0.1", rcode(dns.rcode.SERVFAIL))
    second = world.upstream("127.0.0.2", rcode(dns.rcode.REFUSED))
    assert values(ask(box, "failing.example")) == ["192.0.2.3"]
    assert [one.names() for one in (first, second)] == [["failing.example."], ["failing.example."]]
    second.answer = lambda query, tcp: None
    began = time.monotonic()
    assert values(ask(box, "silent.example")) == ["192.0.2.3"]
    assert 1.9 < time.monotonic() - began < 3.5
    # NXDOMAIN is an answer: nobody else is asked.
    first.answer = rcode(dns.rcode.NXDOMAIN)
    before = len(last.asked)
    assert ask(box, "no.example").rcode() == dns.rcode.NXDOMAIN
    assert len(last.asked) == before


def test_when_all_fail_the_last_word_comes_back(world: Lab) -> None:
    upstream = world.upstream("127.0.0.1", rcode(dns.rcode.REFUSED))
    box = asker(world)
    assert ask(box, "x.example").rcode() == dns.rcode.REFUSED
    assert len(upstream.asked) == 2


def test_nothing_but_the_id_is_rewritten(world: Lab) -> None:
    upstream = world.upstream()
    box = asker(world)
    sent = query("MiXeD.ExAmPlE", "TXT", use_edns=0, payload=1400, want_dnssec=True)
    upstream.answer = lambda query, tcp: dns.message.make_response(query)
    answer = ask(box, sent)
    came = upstream.asked[0][0]
    assert answer.id == sent.id
    assert str(answer.question[0].name) == str(came.question[0].name) == "MiXeD.ExAmPlE."
    assert (came.payload, came.ednsflags) == (1400, dns.flags.DO)
    for _ in range(20):
        ask(box, sent)
    ids = {query.id for query, _, _ in upstream.asked}
    ports = {source[1] for _, source, _ in upstream.asked}
    assert len(ids) > 15
    assert len(ports) > 15


def test_a_forged_answer_is_not_taken(world: Lab) -> None:
    def forge(query: dns.message.Message, tcp: bool) -> dns.message.Message | None:
        for change in ("id", "question", "query"):
            lie = address("203.0.113.66")(query, tcp)
            assert isinstance(lie, dns.message.Message)
            if change == "id":
                lie.id ^= 1
            elif change == "question":
                lie.question = [dns.rrset.from_text("bank.example.", 0, "IN", "A")]
            else:
                lie.flags &= ~dns.flags.QR
            upstream.udp.sendto(lie.to_wire(), upstream.asked[-1][1])
        return address("192.0.2.1")(query, tcp)  # type: ignore[return-value]

    upstream = world.upstream("127.0.0.1", forge)
    box = asker(world)
    assert values(ask(box, "x.example")) == ["192.0.2.1"]


def test_a_server_that_sends_rubbish_only_is_given_up(world: Lab) -> None:
    world.resolv_conf.write_text("nameserver 127.0.0.1\nnameserver 127.0.0.2\n")

    def rubbish(query: dns.message.Message, tcp: bool) -> None:
        for _ in range(60):
            rubbish_from.udp.sendto(b"\xff" * 40, rubbish_from.asked[-1][1])

    rubbish_from = world.upstream("127.0.0.1", rubbish)
    world.upstream("127.0.0.2", address("192.0.2.2"))
    began = time.monotonic()
    assert values(ask(asker(world), "x.example")) == ["192.0.2.2"]
    assert time.monotonic() - began < 1.5


def many(query: dns.message.Message, tcp: bool) -> dns.message.Message:
    """A hundred addresses; over UDP, none and TC."""
    reply = dns.message.make_response(query)
    if tcp:
        texts = [f"198.51.100.{number}" for number in range(100)]
        reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", *texts))
    else:
        reply.flags |= dns.flags.TC
    return reply


def test_truncation_is_passed_on_over_udp_and_resolved_over_tcp(world: Lab) -> None:
    upstream = world.upstream("127.0.0.1", many)
    box = asker(world)
    assert ask(box, "big.example").flags & dns.flags.TC
    assert len(values(ask(box, "big.example", tcp=True))) == 100
    assert [tcp for _, _, tcp in upstream.asked] == [False, False, True]


def test_a_server_whose_tcp_fails_after_truncation_leaves_the_truncated_answer(world: Lab) -> None:
    upstream = world.upstream("127.0.0.1", many)
    upstream.tcp.shutdown(socket.SHUT_RDWR)
    answer = ask(asker(world), "big.example", tcp=True)
    assert answer.flags & dns.flags.TC


def test_own_resolvers_are_asked_from_inside_the_sandbox(world: Lab) -> None:
    hosts = world.upstream()
    box = asker(world, upstream=("127.0.0.11", "127.0.0.9"))
    inside = world.upstream("127.0.0.9", address("192.0.2.9"), space=box)
    assert values(ask(box, "x.example")) == ["192.0.2.9"]
    assert values(ask(box, "x.example", tcp=True)) == ["192.0.2.9"]
    assert hosts.asked == []
    # On an internal network too, where they are within its reach or not at all; the host's are not asked.
    world.tell(Client("c-box", str(box), ("n1",), upstream=("127.0.0.9",), forward=False))
    assert values(ask(box, "y.example")) == ["192.0.2.9"]
    inside.close()
    assert ask(box, "z.example").rcode() == dns.rcode.SERVFAIL
    world.tell(Client("c-box", str(box), ("n1",), forward=False))
    assert ask(box, "z.example").rcode() == dns.rcode.SERVFAIL
    assert hosts.asked == []


def test_a_flood_of_questions_for_outside_is_bounded_and_holds_up_nobody(world: Lab) -> None:
    upstream = world.upstream("127.0.0.1", lambda query, tcp: None)
    flooding, other = asker(world, "flooding"), asker(world, "other")

    def flood() -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.11", 53))
            sock.settimeout(1)
            sock.setsockopt(socket.SOL_SOCKET, 33, 4 << 20)  # SO_RCVBUFFORCE: we read late
            for number in range(400):
                sock.send(query(f"f{number}.example").to_wire())
            count = 0
            try:
                while count < 272:
                    count += dns.message.from_wire(sock.recv(512)).rcode() == dns.rcode.REFUSED
            except TimeoutError:
                pass
            return count

    assert run_in(flooding, flood) == 400 - 128
    assert len(set(upstream.names())) == 128
    upstream.answer = address("192.0.2.1")
    began = time.monotonic()
    assert values(ask(other, "x.example")) == ["192.0.2.1"]
    assert time.monotonic() - began < 0.5
    # One who goes takes his questions along: his successor at the sandbox has all of his own.
    world.do(lambda resolver: resolver.dismiss("c-flooding"))
    world.tell(Client("c-flooding", str(flooding), ("n1",)))
    assert values(ask(flooding, "y.example")) == ["192.0.2.1"]


@pytest.mark.slow
def test_a_container_that_fires_as_fast_as_it_can_costs_its_neighbour_milliseconds(world: Lab) -> None:
    from moby_components.common.dns import Named

    world.upstream()
    flooding, other = asker(world, "flooding"), asker(world, "other")
    world.tell(Named("n1", "c-web", ("web",), ("10.9.0.2",)))
    end = threading.Event()
    wires = [query(name).to_wire() for name in ("web", "x.example")] + [b"\x01\x02\x03", b"\xff" * 600]

    def flood() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.11", 53))
            while not end.is_set():
                for wire in wires:
                    sock.send(wire)

    thread = threading.Thread(target=run_in, args=(flooding, flood))
    thread.start()
    try:
        times = []
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            began = time.monotonic()
            assert values(ask(other, "web")) == ["10.9.0.2"]
            times.append(time.monotonic() - began)
    finally:
        end.set()
        thread.join()
    times.sort()
    assert len(times) > 50
    assert times[len(times) // 2] < 0.05
    assert values(ask(flooding, "web")) == ["10.9.0.2"]


def test_a_query_that_is_no_query_is_refused_or_dropped(world: Lab) -> None:
    upstream = world.upstream()
    box = asker(world)
    update = query("x.example")
    update.set_opcode(dns.opcode.NOTIFY)
    assert ask(box, update).rcode() == dns.rcode.NOTIMP
    two = query("x.example")
    two.question.append(two.question[0])

    def send(wire: bytes) -> bytes | None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.11", 53))
            sock.settimeout(0.3)
            sock.send(wire)
            try:
                return sock.recv(512)
            except TimeoutError:
                return None

    plain = query("x.example").to_wire()
    loop = plain[:12] + b"\xc0\x0c" + plain[-4:]
    for wire in (two.to_wire(), loop, plain[:-3], plain + b"\x00", plain[:4] + b"\0\2" + plain[6:]):
        said = run_in(box, lambda wire=wire: send(wire))
        if wire == plain + b"\x00":
            assert said is not None  # bytes after the question are the server's affair
            continue
        assert said is not None
        assert said[3] & 0x0F == dns.rcode.FORMERR
    answer_flag = plain[:2] + b"\x81\x80" + plain[4:]
    for wire in (b"", plain[:11], answer_flag):
        assert run_in(box, lambda wire=wire: send(wire)) is None
    assert set(upstream.names()) <= {"x.example."}
