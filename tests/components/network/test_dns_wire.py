"""The wire codec against dnspython and against whatever hypothesis thinks of."""

from __future__ import annotations

import struct

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from moby_components.common.dns.process import wire
from moby_components.common.dns.process.answer import answer
from moby_components.common.dns.process.names import Names

NAMES = Names()
NAMES.name(
    {
        "network": "n",
        "domain": "",
        "container": "c",
        "names": ["web", "x" * 63],
        "addresses": ["10.0.0.2", "fd00::2"],
    }
)
PLAIN = dns.message.make_query("web", "A", use_edns=0, payload=1232).to_wire()
POINTERS = PLAIN[:12] + b"\xc0\x0c" + PLAIN[17:]

labels = st.text(st.characters(codec="ascii", exclude_characters=".\\@"), min_size=1, max_size=63)
hostnames = st.lists(labels, min_size=0, max_size=3).map(".".join)


def mutated(data: st.DataObject) -> bytes:
    """A query with a few bytes changed, cut or added: nearer to the code than noise."""
    message = bytearray(
        dns.message.make_query(data.draw(st.sampled_from(["web", "a.b", "web.n"])), "A", use_edns=0).to_wire()
    )
    for _ in range(data.draw(st.integers(0, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    return bytes(message[: data.draw(st.integers(0, len(message)))]) + data.draw(st.binary(max_size=20))


def judge(data: bytes) -> None:
    for tcp in (False, True):
        said = answer(NAMES, ("n",), data, tcp=tcp)
        if isinstance(said, bytes):
            # Whatever we say is an answer that another implementation can read, to this very question.
            message = dns.message.from_wire(said)
            assert message.flags & dns.flags.QR
            assert message.id == struct.unpack(">H", data[:2])[0]
            assert len(said) <= 4096
        elif said is not None:
            assert 12 < said.end <= len(data)


@given(st.binary(max_size=600))
@example(b"")
@example(POINTERS)
@example(PLAIN[:12] + b"\x3f" * 400)
@example(PLAIN[:4] + b"\xff" * 8 + PLAIN[12:])
def test_noise_is_answered_readably_or_not_at_all(data: bytes) -> None:
    judge(data)


@given(st.data())
def test_nearly_right_queries_are_answered_readably_or_not_at_all(data: st.DataObject) -> None:
    judge(mutated(data))


@given(hostnames, st.sampled_from(["A", "AAAA", "TXT", "PTR"]), st.booleans())
def test_a_question_is_read_as_dnspython_wrote_it(name: str, kind: str, edns: bool) -> None:
    query = dns.message.make_query(name or ".", kind, use_edns=0 if edns else False, payload=1400)
    parsed = wire.parse(query.to_wire())
    assert parsed.name == name.lower().encode()
    assert (parsed.rtype, parsed.rclass) == (int(query.question[0].rdtype), 1)
    assert parsed.size == (1400 if edns else 0)


@given(st.lists(labels, min_size=1, max_size=5).map(".".join))
def test_names_are_encoded_as_dnspython_does(name: str) -> None:
    try:
        expected = dns.name.from_text(name).to_wire()
    except dns.name.NameTooLong:
        expected = b""
    assert wire.encode_name(name) == expected


@pytest.mark.parametrize("name", ["", ".", "a..b", "x" * 64, ".".join(["x" * 63] * 4)])
def test_what_cannot_be_a_name_has_no_encoding(name: str) -> None:
    assert wire.encode_name(name) == b""


@given(st.binary(max_size=100), st.binary(min_size=20, max_size=100), st.integers(17, 100))
def test_no_noise_passes_for_an_upstreams_answer(data: bytes, sent: bytes, end: int) -> None:
    if wire.answers(data, sent, end):
        assert data[:2] == sent[:2]
        assert data[2] & 0x80


def test_a_dot_inside_a_label_is_no_separator() -> None:
    names = Names()
    names.name({"network": "n", "domain": "", "container": "c", "names": ["a.b"], "addresses": ["10.0.0.2"]})
    honest = dns.message.make_query("a.b", "A").to_wire()
    assert isinstance(answer(names, ("n",), honest, tcp=False), bytes)
    tricky = honest[:12] + b"\x03a.b\x00" + honest[17:]
    assert isinstance(answer(names, ("n",), tricky, tcp=False), wire.Query)


@pytest.mark.parametrize(
    ("change", "rcode"),
    [
        ({"opcode": dns.opcode.UPDATE}, dns.rcode.NOTIMP),
        ({"questions": 0}, dns.rcode.FORMERR),
        ({"questions": 2}, dns.rcode.FORMERR),
        ({"additionals": 200}, dns.rcode.FORMERR),
        ({"flags": dns.flags.TC}, dns.rcode.FORMERR),
    ],
)
def test_headers_that_no_query_has(change: dict[str, int], rcode: dns.rcode.Rcode) -> None:
    number, flags, questions, answers, authorities, additionals = struct.unpack(">6H", PLAIN[:12])
    flags |= change.get("opcode", 0) << 11 | change.get("flags", 0)
    header = struct.pack(
        ">6H", number, flags, change.get("questions", questions), answers, authorities,
        change.get("additionals", additionals),
    )  # fmt: skip
    said = answer(NAMES, ("n",), header + PLAIN[12:], tcp=False)
    assert isinstance(said, bytes)
    assert dns.message.from_wire(said, question_only=True).rcode() == rcode


def test_a_mistake_of_ours_costs_a_packet_and_is_said_once_a_minute() -> None:
    import os

    from moby_components.common.dns.process.loop import READ, Loop

    loop = Loop()
    said: list[str] = []
    loop.complain = lambda error: said.append(str(error))
    reader, writer = os.pipe()

    def stumble(events: int) -> None:
        if os.read(reader, 1) == b"q":
            loop.stop()
        raise ValueError("oh")

    loop.watch(reader, READ, stumble)
    os.write(writer, b"abcq")
    loop.run()
    assert (said, loop.mistakes) == (["oh"], 4)
    os.close(reader)
    os.close(writer)
