"""A further process in a running container: fork, enter its namespaces, wait for the start."""

from __future__ import annotations

import os

from . import kernel
from .create import Process, enter, fork_first, join_cgroups
from .lean import Any
from .report import Refused


def join(plan: dict[str, Any], stdio: tuple[int, int, int] | None) -> tuple[Process, int]:
    """As `create.create`, in the namespaces of plan["target"] ([pid, start time])."""
    pid, started = plan["target"]
    namespaces: dict[str, int] = {}
    try:
        for kind in kernel.NAMESPACES:
            namespaces[kind] = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
            if os.fstat(namespaces[kind]).st_ino == os.stat(f"/proc/self/ns/{kind}").st_ino:
                os.close(namespaces.pop(kind))
        if _start_time(pid) != started:
            raise Refused(f"container {plan['name']} is not running", "gone")
    except (FileNotFoundError, ProcessLookupError):
        raise Refused(f"container {plan['name']} is not running", "gone") from None
    process = fork_first(plan, stdio, {}, namespaces.pop("pid", "host"))
    try:
        join_cgroups(plan["cgroups"], process.pid)
        return process, enter(process, namespaces)
    except BaseException:
        process.kill()
        try:
            os.waitpid(process.pid, 0)
        except ChildProcessError:
            pass
        raise


def _start_time(pid: int) -> int:
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[19])
