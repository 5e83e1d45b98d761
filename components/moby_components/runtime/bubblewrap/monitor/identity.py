"""Who the process is: limits, user, groups, capabilities, no_new_privs, seccomp - in runc's order."""

from __future__ import annotations

import os
import resource

from . import kernel
from .lean import Any

LAST_CAPABILITY = 63


def set_limits(rlimits: list[list[int]]) -> None:
    """Each is [number, soft, hard]. A hard limit above the present one needs CAP_SYS_RESOURCE; where
    that is missing the present one is kept (the host's own limit)."""
    for number, soft, hard in rlimits:
        try:
            resource.setrlimit(number, (soft, hard))
        except (ValueError, PermissionError):
            ceiling = resource.getrlimit(number)[1]
            if ceiling == resource.RLIM_INFINITY:
                raise
            hard = ceiling if hard == -1 else min(hard, ceiling)  # noqa: PLW2901
            soft = hard if soft == -1 else min(soft, hard)  # noqa: PLW2901
            resource.setrlimit(number, (soft, hard))


def become(process: dict[str, Any], program: bytes | None) -> None:
    """Everything that cannot be undone. The working directory is set when this returns."""
    wanted: int = process["capabilities"]
    directory: str = process["cwd"]
    # Tried as root first, since only root may enter some; then as the user, whose network file
    # system may not trust root.
    entered = _enter(directory)
    if program is not None and not process["no_new_privileges"]:
        kernel.seccomp(program)  # needs CAP_SYS_ADMIN, so before the capabilities go
    for number in range(LAST_CAPABILITY + 1):
        if not wanted >> number & 1:
            try:
                if kernel.prctl(kernel.PR_CAPBSET_READ, number):
                    kernel.prctl(kernel.PR_CAPBSET_DROP, number)
            except OSError:
                break  # past the last capability of this kernel
    kernel.prctl(kernel.PR_SET_KEEPCAPS, 1)
    if process["groups"] is not None:
        os.setgroups(process["groups"])
    os.setresgid(process["gid"], process["gid"], process["gid"])
    os.setresuid(process["uid"], process["uid"], process["uid"])
    kernel.capset(wanted & _permitted())
    kernel.prctl(kernel.PR_SET_KEEPCAPS, 0)
    if not entered:
        os.chdir(directory)
    if process["no_new_privileges"]:
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        if program is not None:
            kernel.seccomp(program)


def _enter(directory: str) -> bool:
    try:
        os.chdir(directory)
    except PermissionError:
        return False
    return True


def _permitted() -> int:
    """What the kernel lets us keep: a host may lack some capability altogether."""
    bits = 0
    for number in range(LAST_CAPABILITY + 1):
        try:
            if kernel.prctl(kernel.PR_CAPBSET_READ, number):
                bits |= 1 << number
        except OSError:
            break
    return bits
