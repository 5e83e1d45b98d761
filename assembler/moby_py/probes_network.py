"""Whether this process may make bridge networks on this host: tried, in a namespace that ends at once.

A thread of its own enters a new network namespace and asks the kernel for a bridge, a veth pair and
nf_tables; the namespace goes with the thread, and everything made in it.
"""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import socket
import struct
import threading

_CLONE_NEWNET = 0x40000000
_NETLINK_NETFILTER = 12
_NEWLINK, _CREATE_EXCL_ACK_REQUEST = 16, 0x605
_IFNAME, _LINKINFO, _KIND = 3, 18, 1
_NFT_GETGEN = (10 << 8) | 16
_REQUEST = 1


@functools.cache
def bridge_networks() -> tuple[bool, str, str | None]:
    """(whether they can be made, what was found, the way out)."""
    if os.geteuid() != 0:
        return False, "an ordinary user may not make bridges in the host's network", "use network/pasta"
    problem: list[str] = []
    thread = threading.Thread(target=lambda: problem.append(_try()), name="probe")
    thread.start()
    thread.join()
    if problem != [""]:
        return False, problem[0] if problem else "bridges cannot be tried", "use network/host"
    if not _has_nftables():
        return (
            False,
            "nftables is not installed - neither libnftables.so.1 nor nft is there",
            "apt-get install libnftables1",
        )
    return True, "bridges, veth pairs and nftables rules can be made", None


def try_here() -> str:
    """Why networks cannot be made with the privileges that this process has; "" when they can."""
    problem = _try()
    if not problem and not _has_nftables():
        return "nftables is not installed: apt-get install libnftables1"
    return problem


def _try() -> str:
    """ "" where everything could be made, else what could not."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        return f"network namespaces cannot be made - {os.strerror(ctypes.get_errno())}"
    for kind in ("bridge", "veth"):
        info = _attribute(_LINKINFO, _attribute(_KIND, kind.encode() + b"\0"))
        body = struct.pack("=BxHiII", 0, 0, 0, 0, 0) + _attribute(
            _IFNAME, b"probe" + kind[:1].encode() + b"\0"
        )
        problem = _ask(socket.NETLINK_ROUTE, _NEWLINK, _CREATE_EXCL_ACK_REQUEST, body + info)
        if problem:
            return f"this kernel makes no {kind} links - {problem}"
    problem = _ask(_NETLINK_NETFILTER, _NFT_GETGEN, _REQUEST, struct.pack("=BBH", 0, 0, 0))
    return f"this kernel has no nf_tables - {problem}" if problem else ""


def _ask(protocol: int, kind: int, flags: int, body: bytes) -> str:
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol) as asking:
            asking.bind((0, 0))
            asking.settimeout(5)
            asking.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body)
            answer = asking.recv(1 << 16)
    except OSError as error:
        return error.strerror or str(error)
    if struct.unpack_from("=H", answer, 4)[0] != 2:
        return ""
    code = -int(struct.unpack_from("=i", answer, 16)[0])
    return os.strerror(code) if code else ""


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)


def _has_nftables() -> bool:
    try:
        ctypes.CDLL("libnftables.so.1")
    except OSError:
        return shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin") is not None
    return True
