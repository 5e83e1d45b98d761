"""A Python that no container can write to.

The container's first process is our monitor's child until its execve. An image whose program is
`#!/proc/self/exe` makes the kernel execute *that* file again inside the container, which can then
open it for writing: on disk it would be the host's own interpreter (runc's CVE-2019-5736). So
monitors run from a copy in memory, sealed against every change; one per daemon, shared by all.
"""

from __future__ import annotations

import fcntl
import functools
import os
import sys
from pathlib import Path

from moby_py.errors import Unavailable

_MFD_EXEC = 0x10
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


@functools.cache
def _copy() -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        fd = os.memfd_create("moby-py-python", flags | _MFD_EXEC)
    except OSError:  # before Linux 6.3, where every memory file was executable
        fd = os.memfd_create("moby-py-python", flags)
    with Path(sys.executable).resolve().open("rb") as source:
        size = os.fstat(source.fileno()).st_size
        while size > 0:
            size -= os.sendfile(fd, source.fileno(), None, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    if not os.access(f"/proc/self/fd/{fd}", os.X_OK):
        raise Unavailable(
            "containers cannot be started safely - sysctl vm.memfd_noexec forbids programs in memory",
            hint="sudo sysctl -w vm.memfd_noexec=0",
        )
    return fd


def executable() -> str:
    """The path to execute, valid while this process lives; argv[0] stays `sys.executable`, by which
    the interpreter finds its library."""
    return f"/proc/{os.getpid()}/fd/{_copy()}"


def environment() -> dict[str, str]:
    """A shared libpython beside the interpreter is found by $ORIGIN, which a copy in memory lacks."""
    library = Path(sys.executable).resolve().parent.parent / "lib"
    name = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    return {"LD_LIBRARY_PATH": str(library)} if (library / name).exists() else {}
