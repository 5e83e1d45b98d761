"""The nftables rule in a container's namespace: 127.0.0.11:53 goes to the ports that we listen on.

So a container may listen on 0.0.0.0:53 itself, as under Docker. One netlink batch, laid out by hand
(linux/netfilter/nf_tables.h): libnftables would cost three megabytes for a table of two rules.

    table ip moby-py-dns { chain output { type nat hook output priority dstnat;
        ip daddr 127.0.0.11 udp dport 53 dnat to :U
        ip daddr 127.0.0.11 tcp dport 53 dnat to :T } }
"""

from __future__ import annotations

import os
import socket
import struct

ADDRESS = "127.0.0.11"
TABLE = b"moby-py-dns"
CHAIN = b"output"

NETLINK_NETFILTER = 12
NLMSG_ERROR = 2
REQUEST, ACK, CREATE, APPEND = 0x001, 0x004, 0x400, 0x800
BATCH_BEGIN, BATCH_END, SUBSYSTEM = 0x10, 0x11, 10
NEWTABLE, NEWCHAIN, NEWRULE, DELRULE = (SUBSYSTEM << 8 | number for number in (0, 3, 6, 8))
IPV4, LOCAL_OUT, DSTNAT = 2, 3, -100
NESTED = 0x8000


def redirect(udp_port: int, tcp_port: int) -> socket.socket:
    """Put the rules into the namespace of this thread, in place of those that a process before us left.
    Raises OSError, for example where the kernel has no nf_tables.

    Closing a netlink socket waits until its namespace has destroyed what was replaced, ten milliseconds
    or more: the socket is handed back, to be closed when there is time. (Replacing the table instead of
    the rules would wait that long within the transaction.)"""
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
    try:
        netlink.bind((0, 0))
        _transact(
            netlink,
            [
                _message(NEWTABLE, CREATE, _name(1, TABLE)),
                _message(NEWCHAIN, CREATE, _chain()),
                _message(DELRULE, 0, _name(1, TABLE) + _name(2, CHAIN)),
                _message(NEWRULE, CREATE | APPEND, _rule(socket.IPPROTO_UDP, udp_port)),
                _message(NEWRULE, CREATE | APPEND | ACK, _rule(socket.IPPROTO_TCP, tcp_port)),
            ],
        )
    except BaseException:
        netlink.close()
        raise
    return netlink


def _transact(netlink: socket.socket, messages: list[bytes]) -> None:
    """All or nothing; the last message has ACK set. Raises OSError with the kernel's word."""
    batch = [_message(BATCH_BEGIN, 0, b"", SUBSYSTEM), *messages, _message(BATCH_END, 0, b"", SUBSYSTEM)]
    numbered = (
        struct.pack("=I", len(body) + 4) + body[:4] + struct.pack("=I", number) + body[8:]
        for number, body in enumerate(batch)
    )
    netlink.send(b"".join(numbered))
    _judge(netlink, len(messages))


def _judge(netlink: socket.socket, last: int) -> None:
    """The kernel did everything within `send`; its word is there already."""
    while True:
        said = netlink.recv(65536, socket.MSG_DONTWAIT)
        while len(said) >= 20:
            length, kind, _, number, _, code = struct.unpack_from("=IHHIIi", said)
            if kind == NLMSG_ERROR:
                if code:
                    raise OSError(-code, os.strerror(-code), "nf_tables")
                if number == last:
                    return
            said = said[(length + 3) & ~3 :]


def _message(kind: int, flags: int, attributes: bytes, resource: int = 0) -> bytes:
    """Without its length; the sequence number follows when it is sent."""
    family = 0 if resource else IPV4
    header = struct.pack("=HHII", kind, REQUEST | flags, 0, 0)
    return header + struct.pack(">BBH", family, 0, resource) + attributes


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", len(value) + 4, kind) + value + b"\0" * (-len(value) % 4)


def _nest(kind: int, *inner: bytes) -> bytes:
    return _attribute(kind | NESTED, b"".join(inner))


def _name(kind: int, name: bytes) -> bytes:
    return _attribute(kind, name + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack(">i", value))


def _chain() -> bytes:
    hook = _nest(4, _number(1, LOCAL_OUT), _number(2, DSTNAT))
    return _name(1, TABLE) + _name(3, CHAIN) + hook + _name(7, b"nat")


def _expression(name: bytes, *attributes: bytes) -> bytes:
    return _nest(1, _name(1, name), _nest(2, *attributes))


def _is(value: bytes) -> bytes:
    return _expression(b"cmp", _number(1, 1), _number(2, 0), _nest(3, _attribute(1, value)))


def _load(base: int, offset: int, length: int) -> bytes:
    numbers = (1, base, offset, length)
    return _expression(b"payload", *(_number(kind, value) for kind, value in enumerate(numbers, 1)))


def _rule(protocol: int, port: int) -> bytes:
    return (
        _name(1, TABLE)
        + _name(2, CHAIN)
        + _nest(
            4,
            _load(1, 16, 4),  # network header: the destination
            _is(socket.inet_aton(ADDRESS)),
            _expression(b"meta", _number(1, 1), _number(2, 16)),  # l4proto
            _is(bytes((protocol,))),
            _load(2, 2, 2),  # transport header: the destination port
            _is(struct.pack(">H", 53)),
            _expression(b"immediate", _number(1, 1), _nest(2, _attribute(1, struct.pack(">H", port)))),
            _expression(b"nat", _number(1, 1), _number(2, IPV4), _number(5, 1)),
        )
    )
