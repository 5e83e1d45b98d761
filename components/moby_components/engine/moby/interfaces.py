"""Counters of a container's network interfaces, read from the kernel without entering its namespace."""

from __future__ import annotations

from pathlib import Path

from moby_py.model import InterfaceStats

_PROC = Path("/proc")
_COUNTERS = 16
"""Columns of /proc/net/dev after the name: eight received, eight sent."""


def interface_stats(pid: int) -> dict[str, InterfaceStats]:
    """By name, without the loopback. Nothing for a process in our own network namespace - the host's
    interfaces are not one container's - and for one that is gone."""
    try:
        if (_PROC / f"{pid}/ns/net").readlink() == (_PROC / "self/ns/net").readlink():
            return {}
        text = (_PROC / f"{pid}/net/dev").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    return parse(text)


def parse(text: str) -> dict[str, InterfaceStats]:
    """/proc/net/dev (proc_pid_net(5)): two lines of titles, then one per interface."""
    found = {}
    for line in text.splitlines()[2:]:
        name, _, rest = line.rpartition(":")
        fields = rest.split()
        if name.strip() == "lo" or len(fields) < _COUNTERS or not all(f.isdigit() for f in fields):
            continue
        numbers = [int(field) for field in fields]
        found[name.strip()] = InterfaceStats(
            rx_bytes=numbers[0],
            rx_packets=numbers[1],
            rx_errors=numbers[2],
            rx_dropped=numbers[3],
            tx_bytes=numbers[8],
            tx_packets=numbers[9],
            tx_errors=numbers[10],
            tx_dropped=numbers[11],
        )
    return found
