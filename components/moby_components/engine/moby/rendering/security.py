"""SecurityOpt: seccomp, AppArmor, SELinux labels, no-new-privileges, systempaths."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moby_py.errors import InvalidArgument

MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
MAX_PROFILE = 1 << 20


@dataclass(frozen=True, slots=True)
class Security:
    """`seccomp` as ContainerSpec's; `apparmor` "" means the runtime's default."""

    seccomp: str = "default"
    apparmor: str = ""
    label: str = ""
    no_new_privileges: bool = False
    masked: tuple[str, ...] = MASKED
    readonly: tuple[str, ...] = READONLY


def security(host: Mapping[str, Any]) -> Security:
    """From HostConfig. Raises InvalidArgument `invalid --security-opt`."""
    privileged = bool(host.get("Privileged"))
    values: dict[str, str] = {"seccomp": "unconfined", "apparmor": "unconfined"} if privileged else {}
    labels: list[str] = []
    no_new_privileges = unmasked = False
    for option in host.get("SecurityOpt") or ():
        key, value = _split(option)
        if key == "no-new-privileges":
            no_new_privileges = value in ("", "true")
        elif key in ("seccomp", "apparmor"):
            values[key] = _profile(value) if key == "seccomp" else value
        elif key == "label":
            labels.append(value)
        elif key == "systempaths" and value == "unconfined":
            unmasked = True
        else:
            raise InvalidArgument(f'invalid --security-opt 2: "{option}"')
    bare = privileged or unmasked
    return Security(
        seccomp=values.get("seccomp", "default"),
        apparmor=values.get("apparmor", ""),
        label=_label(labels),
        no_new_privileges=no_new_privileges,
        masked=_paths(host, "MaskedPaths", () if bare else MASKED),
        readonly=_paths(host, "ReadonlyPaths", () if bare else READONLY),
    )


def _split(option: str) -> tuple[str, str]:
    """`key=value`, and the old `key:value`."""
    if option == "no-new-privileges":
        return option, ""
    for sign in ("=", ":"):
        key, found, value = option.partition(sign)
        if found:
            return key, value
    raise InvalidArgument(f'invalid --security-opt 1: "{option}"')


def _profile(text: str) -> str:
    """A name, or a profile's JSON (docker sends the file's text)."""
    if text in ("unconfined", "default", "builtin"):
        return "default" if text == "builtin" else text
    if len(text) > MAX_PROFILE:
        raise InvalidArgument("invalid seccomp profile - it is larger than 1 MiB")
    try:
        data = json.loads(text)
        named = isinstance(data, dict) and isinstance(data.get("defaultAction"), str)
        if not named:
            raise ValueError("it names no defaultAction")
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(
            f"invalid seccomp profile - {error}", hint="give unconfined, or a profile in Docker's JSON form"
        ) from error
    return text


def _label(options: list[str]) -> str:
    """`user:`, `role:`, `type:`, `level:` over container-selinux's defaults; "disable" and none: ""."""
    if not options or "disable" in options:
        return ""
    parts = {"user": "system_u", "role": "system_r", "type": "container_t", "level": "s0"}
    for option in options:
        key, _, value = option.partition(":")
        if key not in parts or not value:
            raise InvalidArgument(f"invalid --security-opt: label:{option}")
        parts[key] = value
    return ":".join(parts.values())


def _paths(host: Mapping[str, Any], key: str, default: tuple[str, ...]) -> tuple[str, ...]:
    """None means the default; an empty list means none at all."""
    given = host.get(key)
    return default if given is None else tuple(given)
