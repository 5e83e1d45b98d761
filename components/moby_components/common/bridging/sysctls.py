"""The few kernel settings that forwarding needs, read before they are written and said when changed."""

from __future__ import annotations

import logging
from pathlib import Path

_NET = Path("/proc/sys/net")


def read(name: str) -> str:
    """A setting below net/ ("ipv4/ip_forward") of the calling thread's namespace; "" without it."""
    try:
        return (_NET / name).read_text(encoding="ascii").strip()
    except OSError:
        return ""


def write(name: str, value: str) -> bool:
    """Whether it had to be changed. Raises OSError where the kernel has it and refuses."""
    if read(name) in (value, ""):
        return False
    (_NET / name).write_text(value)
    return True


def forward(log: logging.Logger, *, ipv6: bool) -> None:
    """Turn on forwarding. A host that takes its own IPv6 routes from announcements goes on doing so:
    with forwarding the kernel would stop listening to them unless told (accept_ra=2)."""
    if write("ipv4/ip_forward", "1"):
        log.info("turned on net.ipv4.ip_forward, which containers need to reach other hosts")
    if not ipv6 or read("ipv6/conf/all/forwarding") != "0":
        return
    for folder in (_NET / "ipv6/conf").iterdir():
        if folder.name not in ("all", "default", "lo") and read(f"ipv6/conf/{folder.name}/accept_ra") == "1":
            write(f"ipv6/conf/{folder.name}/accept_ra", "2")
    write("ipv6/conf/all/forwarding", "1")
    log.info("turned on net.ipv6.conf.all.forwarding, which containers need to reach other hosts")


def of_bridge(name: str, *, ipv6: bool, ours: bool = True) -> None:
    """Published ports answer on 127.0.0.1 (the rules keep containers away from it); no routes are taken
    from containers. A bridge that is not ours only gets what cannot be done without."""
    write(f"ipv4/conf/{name}/route_localnet", "1")
    if not ours:
        if ipv6:
            write(f"ipv6/conf/{name}/disable_ipv6", "0")
        return
    write(f"ipv6/conf/{name}/accept_ra", "0")
    write(f"ipv6/conf/{name}/accept_dad", "0")
    write(f"ipv6/conf/{name}/disable_ipv6", "0" if ipv6 else "1")


def leave_bridge(name: str) -> None:
    """A bridge of somebody else that we used: nothing of ours watches 127.0.0.1 there any more."""
    write(f"ipv4/conf/{name}/route_localnet", "0")


def filtered_bridges() -> bool:
    """Whether the kernel can pass frames between ports of a bridge through the IP firewall."""
    return read("bridge/bridge-nf-call-iptables") != ""
