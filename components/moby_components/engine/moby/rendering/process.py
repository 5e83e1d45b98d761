"""The process of a container, and of an exec in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from moby_components.engine.moby.rendering.capabilities import capability_set, everything
from moby_components.engine.moby.rendering.security import Security
from moby_py.errors import InvalidArgument
from moby_py.model import ProcessSpec, Rlimit

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LIMITS = "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack"
RLIMITS = frozenset(_LIMITS.split())


def command(body: Mapping[str, Any]) -> tuple[str, ...]:
    return (*(body.get("Entrypoint") or ()), *(body.get("Cmd") or ()))


def environment(body: Mapping[str, Any], *, hostname: str, tty: bool) -> tuple[str, ...]:
    """PATH, HOSTNAME and TERM first, then what was asked for; "NAME" without "=" takes it away."""
    values = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname}
    if tty:
        values["TERM"] = "xterm"
    return overlay(tuple(f"{key}={value}" for key, value in values.items()), body.get("Env") or ())


def overlay(base: Sequence[str], changes: Sequence[str]) -> tuple[str, ...]:
    """`base` with `changes` over it, in order of first appearance."""
    values: dict[str, str | None] = dict(_split(entry) for entry in base)
    values.update(_split(entry) for entry in changes)
    return tuple(f"{key}={value}" for key, value in values.items() if value is not None)


def working_directory(body: Mapping[str, Any]) -> str:
    path = body.get("WorkingDir") or "/"
    if not path.startswith("/"):
        raise InvalidArgument(f"the working directory '{path}' is invalid, it needs to be an absolute path")
    return str(path)


def rlimits(host: Mapping[str, Any]) -> tuple[Rlimit, ...]:
    found = []
    for limit in host.get("Ulimits") or ():
        name, soft, hard = str(limit.get("Name", "")), limit.get("Soft", 0), limit.get("Hard", 0)
        if name not in RLIMITS:
            raise InvalidArgument(f"invalid ulimit type: {name}")
        if hard != -1 and (soft > hard or soft == -1):
            raise InvalidArgument(
                f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
            )
        found.append(Rlimit(name=name, soft=soft, hard=hard))
    return tuple(found)


def console_size(body: Mapping[str, Any]) -> tuple[int, int] | None:
    """(height, width), None when unset."""
    size = body.get("ConsoleSize") or (0, 0)
    return (int(size[0]), int(size[1])) if len(size) == 2 and all(size) else None


def process(body: Mapping[str, Any], security: Security, *, hostname: str, ours: int) -> ProcessSpec:
    """A container's first process. `ours` is the daemon's own oom_score_adj."""
    host = body.get("HostConfig") or {}
    tty = bool(body.get("Tty"))
    score = host.get("OomScoreAdj") or 0
    if not -1000 <= score <= 1000:
        raise InvalidArgument(f"Invalid value {score}, range for oom score adj is [-1000, 1000]")
    return ProcessSpec(
        args=command(body),
        env=environment(body, hostname=hostname, tty=tty),
        cwd=working_directory(body),
        user=body.get("User") or "",
        groups=tuple(str(group) for group in host.get("GroupAdd") or ()),
        tty=tty,
        console_size=console_size(host) if tty else None,
        capabilities=capability_set(host),
        no_new_privileges=security.no_new_privileges,
        rlimits=rlimits(host),
        apparmor_profile=security.apparmor,
        selinux_label=security.label,
        # Only written where it differs: lowering it takes CAP_SYS_RESOURCE, which a host may lack.
        oom_score_adj=score if score or ours < 0 else None,
    )


def exec_process(body: Mapping[str, Any], main: ProcessSpec) -> ProcessSpec:
    """A further process: the container's own, but for what the exec's body says."""
    args = body.get("Cmd") or ()
    if isinstance(args, str) or not all(isinstance(arg, str) for arg in args) or not args:
        raise InvalidArgument("No exec command specified")
    tty = bool(body.get("Tty"))
    env = main.env
    if tty and not any(entry.startswith("TERM=") for entry in env):
        env = (*env, "TERM=xterm")
    cwd = body.get("WorkingDir") or main.cwd
    if not cwd.startswith("/"):
        raise InvalidArgument(f"the working directory '{cwd}' is invalid, it needs to be an absolute path")
    return ProcessSpec(
        args=tuple(args),
        env=overlay(env, body.get("Env") or ()),
        cwd=cwd,
        user=body.get("User") or main.user,
        groups=main.groups,
        tty=tty,
        console_size=console_size(body) if tty else None,
        capabilities=everything() if body.get("Privileged") else main.capabilities,
        no_new_privileges=main.no_new_privileges,
        rlimits=main.rlimits,
        apparmor_profile="unconfined" if body.get("Privileged") else main.apparmor_profile,
        selinux_label=main.selinux_label,
        oom_score_adj=main.oom_score_adj,
    )


def _split(entry: str) -> tuple[str, str | None]:
    key, has_value, value = entry.partition("=")
    if not key:
        raise InvalidArgument(f"invalid environment variable: {entry}")
    return key, value if has_value else None
