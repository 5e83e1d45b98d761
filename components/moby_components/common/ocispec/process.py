"""The `process` section: of a container's first process, and of an exec's process.json."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moby_components.common.ocispec.host import HostFacts
from moby_components.common.users import User
from moby_py.errors import InvalidArgument
from moby_py.model import ProcessSpec

UMASK = 0o022
UNLIMITED = 2**64 - 1


def build_process(
    process: ProcessSpec,
    user: User,
    host: HostFacts,
    warn: Callable[[str], None],
    *,
    privileged: bool = False,
) -> dict[str, Any]:
    """Spec: process. Raises `InvalidArgument`: no command, a relative cwd, an unknown ulimit."""
    if not process.args or not process.args[0]:
        raise InvalidArgument("no command specified")
    if not process.cwd.startswith("/"):
        raise InvalidArgument(f"invalid working directory {process.cwd!r} - it must be absolute")
    env = list(process.env)
    if not any(entry.startswith("HOME=") for entry in env):
        env.append(f"HOME={user.home}")
    capabilities = _capabilities(process, host, warn)
    built: dict[str, Any] = {
        "terminal": process.tty,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups), "umask": UMASK},
        "args": list(process.args),
        "env": env,
        "cwd": process.cwd,
        # Inheritable and ambient stay empty (CVE-2022-24769); execve clears the others for a user
        # that is not root, and the bounding set keeps setuid programs within them.
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
        "noNewPrivileges": process.no_new_privileges,
        "rlimits": _rlimits(process, host, warn),
    }
    if host.rootless and host.gids == 1:
        built["user"]["additionalGids"] = []  # setgroups(2) is off where one id alone is mapped
    if process.tty and process.console_size:
        height, width = process.console_size
        built["consoleSize"] = {"height": height, "width": width}
    if process.oom_score_adj is not None:
        built["oomScoreAdj"] = _oom_score(process.oom_score_adj, host, warn)
    if process.apparmor_profile and host.apparmor and not privileged:
        built["apparmorProfile"] = process.apparmor_profile
    if process.selinux_label and host.selinux:
        built["selinuxLabel"] = process.selinux_label
    return built


def _capabilities(process: ProcessSpec, host: HostFacts, warn: Callable[[str], None]) -> list[str]:
    missing = sorted(set(process.capabilities) - host.bounding)
    if missing:
        warn(f"left out {', '.join(missing)} - this host does not have it to give")
    return sorted(set(process.capabilities) & host.bounding)


def _rlimits(process: ProcessSpec, host: HostFacts, warn: Callable[[str], None]) -> list[dict[str, Any]]:
    built = []
    for limit in process.rlimits:
        soft, hard = limit.soft, limit.hard
        if limit.name not in host.rlimits:
            raise InvalidArgument(f"invalid ulimit type {limit.name!r}")
        most = host.rlimits[limit.name]
        if not host.can_raise_limits and most != -1 and (hard == -1 or hard > most):
            warn(f"ulimit {limit.name} is {most} instead of {hard} - raising it needs CAP_SYS_RESOURCE")
            hard = most
            soft = most if soft == -1 else min(soft, most)
        if hard != -1 and (soft == -1 or soft > hard):
            raise InvalidArgument(f"ulimit {limit.name}: soft limit {soft} is above the hard limit {hard}")
        built.append(
            {
                "type": f"RLIMIT_{limit.name.upper()}",
                "soft": UNLIMITED if soft == -1 else soft,
                "hard": UNLIMITED if hard == -1 else hard,
            }
        )
    return built


def _oom_score(wanted: int, host: HostFacts, warn: Callable[[str], None]) -> int:
    if not -1000 <= wanted <= 1000:
        raise InvalidArgument(f"invalid oom score {wanted} - it must be between -1000 and 1000")
    if wanted < host.oom_score_adj and not host.can_raise_limits:
        warn(f"oom score is {host.oom_score_adj} instead of {wanted} - lowering it needs CAP_SYS_RESOURCE")
        return host.oom_score_adj
    return wanted
