"""Becomes the uplink once its world is there: `python launch.py WORLD RECORD PROGRAM ARG...`.

The supervisor starts services before the component opens, and the component makes the world when it
opens. RECORD gets our pid, which the program keeps.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

PATIENCE = 5.0
CLONE_NEWNS, MS_REC, MS_SLAVE = 0x20000, 0x4000, 0x80000


def main(world: str, record: str, argv: list[str]) -> None:
    """Never returns: exec, or exit status 1 when no world appears."""
    namespaces = Path("/proc/self/ns/net").stat().st_dev
    deadline = time.monotonic() + PATIENCE
    while not is_pinned(world, namespaces):
        if time.monotonic() > deadline:
            sys.exit(f"there is no network namespace at {world}")
        time.sleep(0.01)
    fd = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    os.write(fd, b"%d\n" % os.getpid())
    with contextlib.suppress(PermissionError):
        os.setsid()  # no Ctrl-C of a terminal is meant for it
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # pasta takes an ignored one for an error
    leave_mounts_alone()
    os.chdir("/")
    os.execv(argv[0], argv)  # noqa: S606 - no shell is meant


def leave_mounts_alone() -> None:
    """What the program unmounts, it unmounts for itself. slirp4netns's sandbox lets go of all mounts
    below its root but makes only the root private: what others share (`ip netns add` shares /run/netns)
    would go from the whole host. A slave of the host's mounts still sees those end that end there."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0 or libc.mount(b"none", b"/", None, MS_REC | MS_SLAVE, None) != 0:
        code = ctypes.get_errno()
        sys.exit(f"cannot keep the host's mounts apart: {os.strerror(code)}")


def is_pinned(path: str, namespaces: int) -> bool:
    """Whether a namespace is mounted on `path`; `namespaces` is the device of all namespace files."""
    try:
        return Path(path).stat().st_dev == namespaces
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
