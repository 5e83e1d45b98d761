"""What a process that reads packets of untrusted containers gives up once it is set up."""

from __future__ import annotations

import ctypes
import os
import resource
import struct

from moby_components.common.dns.process.spaces import libc

PR_SET_DUMPABLE, PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 4, 23, 24, 38
CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_SYS_ADMIN = 10, 12, 21
KEPT = (CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_SYS_ADMIN)
"""Port 53; lo and the rule in a sandbox; setns(2)."""
VERSION_3 = 0x20080522
DESCRIPTORS = 1 << 20


def harden() -> None:
    """No new privileges, no file written, no core, three capabilities; as many descriptors as may be."""
    os.umask(0o077)
    os.chdir("/")
    _descriptors()
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(PR_SET_DUMPABLE, 0)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    for number in range(64):
        if number not in KEPT and libc.prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1:
            libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)  # needs CAP_SETPCAP; nothing is executed anyway
    _keep_only(KEPT)


def _descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, DESCRIPTORS), max(hard, DESCRIPTORS)))
    except (OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))


def _keep_only(numbers: tuple[int, ...]) -> None:
    """Those of `numbers` that we have, and no other (capset(2))."""
    header = struct.pack("=Ii", VERSION_3, 0)
    data = ctypes.create_string_buffer(24)
    if libc.capget(header, data) != 0:
        raise _error("capget")
    mask = sum(1 << number for number in numbers)
    words = struct.unpack("=6I", data.raw)
    kept = [word & (mask & 0xFFFFFFFF if index < 3 else mask >> 32) for index, word in enumerate(words)]
    kept[2] = kept[5] = 0
    if libc.capset(header, struct.pack("=6I", *kept)) != 0:
        raise _error("capset")


def _prctl(option: int, value: int) -> None:
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise _error("prctl")


def _error(call: str) -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code), call)
