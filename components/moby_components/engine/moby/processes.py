"""`docker top` for runtimes that have none of their own: /proc for `-ef`, the host's ps for the rest."""

from __future__ import annotations

import asyncio
import os
import pwd
import re
import time
from collections.abc import Sequence
from pathlib import Path

from moby_py.errors import InvalidArgument, Unavailable
from moby_py.model import ProcessTable

_OTHER_PID = re.compile(r"\s+(\w*)=\s*(PID[^\s]*)")
_EF = ("UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD")


async def process_table(pids: Sequence[int], ps_args: str) -> ProcessTable:
    """Raises InvalidArgument when ps shows no PID column."""
    if ps_args in ("", "-ef"):
        return ProcessTable(titles=_EF, rows=tuple(row for pid in pids if (row := _row(pid))))
    return await _by_ps(pids, ps_args)


def _row(pid: int) -> tuple[str, ...] | None:
    """None for a process that has just ended."""
    base = Path("/proc", str(pid))
    try:
        stat = (base / "stat").read_text(errors="replace")
        owner = base.stat().st_uid
        line = (base / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return None
    name = stat[stat.index("(") + 1 : stat.rindex(")")]
    fields = stat[stat.rindex(")") + 2 :].split()
    ticks = os.sysconf("SC_CLK_TCK")
    cpu = (int(fields[11]) + int(fields[12])) // ticks
    up = float(Path("/proc/uptime").read_text().split()[0])
    age = max(0.0, up - int(fields[19]) / ticks)
    started = time.localtime(time.time() - age)
    try:
        user = pwd.getpwuid(owner).pw_name
    except KeyError:
        user = str(owner)
    return (
        user,
        str(pid),
        fields[1],
        str(min(99, int(100 * cpu / age))) if age else "0",
        time.strftime("%H:%M" if age < 86400 else "%b%d", started),
        _terminal(int(fields[4])),
        f"{cpu // 3600:02d}:{cpu // 60 % 60:02d}:{cpu % 60:02d}",
        line or f"[{name}]",
    )


def _terminal(device: int) -> str:
    major, minor = os.major(device), os.minor(device)
    if 136 <= major <= 143:
        return f"pts/{(major - 136) * 256 + minor}"
    return f"tty{minor}" if major == 4 else "?"


async def _by_ps(pids: Sequence[int], ps_args: str) -> ProcessTable:
    for name, value in _OTHER_PID.findall(ps_args):
        if name != "pid":  # a column that only calls itself PID would be taken for it
            raise InvalidArgument(f'specifying "{name}={value}" is not allowed')
    words = ps_args.split()
    try:
        process = await asyncio.create_subprocess_exec(
            "ps", *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except FileNotFoundError:
        raise Unavailable(
            "no ps on this host - only `top -ef` works", hint="apt-get install procps"
        ) from None
    out, errors = await process.communicate()
    if process.returncode:
        raise InvalidArgument(f"ps: {errors.decode(errors='replace').strip() or process.returncode}")
    lines = out.decode(errors="replace").splitlines()
    titles = tuple(lines[0].split()) if lines else ()
    if "PID" not in titles:
        raise InvalidArgument("Couldn't find PID field in ps output")
    at, wanted = titles.index("PID"), {str(pid) for pid in pids}
    rows = (tuple(line.split(None, len(titles) - 1)) for line in lines[1:])
    return ProcessTable(titles=titles, rows=tuple(row for row in rows if len(row) > at and row[at] in wanted))
