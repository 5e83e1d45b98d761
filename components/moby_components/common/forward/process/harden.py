"""Give up what a forwarder of untrusted bytes never needs."""

from __future__ import annotations

import ctypes
import resource

PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP = 4, 38, 24
CAPABILITY_VERSION_3 = 0x20080522
CAP_NET_BIND_SERVICE, CAP_SYS_ADMIN = 10, 21
KEPT = (1 << CAP_NET_BIND_SERVICE) | (1 << CAP_SYS_ADMIN)
"""Ports below 1024 for root, and setns(2)."""
MOST_OPEN_FILES = 1 << 18

_libc = ctypes.CDLL(None, use_errno=True)


def raise_open_files() -> int:
    """As many descriptors as we may have; returns how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_OPEN_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return soft


def harden() -> None:
    """No file can be written, no core dumped, no program gain privileges; two capabilities stay."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()
    if _libc.capget(header, sets) == 0:
        sets[0], sets[1] = sets[0] & KEPT, sets[1] & KEPT
        sets[2] = sets[3] = sets[4] = sets[5] = 0
        _libc.capset(header, sets)
