"""A published port as data, and what is said when it cannot be had."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from moby_py.errors import Conflict, InvalidArgument, MobyError, PermissionDenied, Unavailable

UNPRIVILEGED = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """`host_ip`:`host_port` here leads to `address`:`port` in the namespace whose file is `world` ("":
    the daemon's own). `key` is the caller's name for it. `host_port` 0 asks for any free one;
    `host_ip` is one address: "0.0.0.0" does not include "::"."""

    key: str
    host_ip: str
    host_port: int
    protocol: str
    address: str
    port: int
    world: str = ""


def refusal(port: Port, code: int, text: str) -> MobyError:
    """Docker's words for what bind(2) said."""
    host = f"[{port.host_ip}]" if ":" in port.host_ip else port.host_ip
    family = "6" if ":" in port.host_ip else "4"
    where = f"listen {port.protocol}{family} {host}:{port.host_port}"
    if code == errno.EADDRINUSE:
        return Conflict(f"Bind for {host}:{port.host_port} failed: port is already allocated")
    if code in (errno.EACCES, errno.EPERM) and port.host_port:
        first = _first_unprivileged()
        return PermissionDenied(
            f"cannot expose privileged port {port.host_port} - {where}: bind: permission denied",
            hint=f"sudo sysctl -w net.ipv4.ip_unprivileged_port_start={port.host_port} (currently {first}), "
            f"or choose a port from {first} on",
        )
    if code == errno.EADDRNOTAVAIL:
        return InvalidArgument(f"{where}: bind: cannot assign requested address")
    reason = os.strerror(code).lower() if code else text
    return Unavailable(f"cannot publish {host}:{port.host_port}/{port.protocol} - {reason}")


def _first_unprivileged() -> int:
    try:
        return int(UNPRIVILEGED.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 1024
