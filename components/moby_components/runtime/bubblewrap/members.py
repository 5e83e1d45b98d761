"""Who is in a container where no cgroup says so."""

from __future__ import annotations

import os
from pathlib import Path


def in_pid_namespace(first: int) -> list[int]:
    """Host pids in the pid namespace of `first`; that one alone where the namespace is the host's."""
    try:
        namespace = os.readlink(f"/proc/{first}/ns/pid")
    except OSError:
        return []
    if namespace == os.readlink("/proc/self/ns/pid"):
        return [first]
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.readlink(entry / "ns/pid") == namespace:
                    found.append(int(entry.name))
            except OSError:
                continue  # gone meanwhile, or somebody else's
    return sorted(found)
