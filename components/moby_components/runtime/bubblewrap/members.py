"""Who is in a container where no cgroup says so."""

from __future__ import annotations

from pathlib import Path


def in_pid_namespace(first: int) -> list[int]:
    """Host pids in the pid namespace of `first`; that one alone where the namespace is the host's."""
    try:
        namespace = Path(f"/proc/{first}/ns/pid").readlink()
    except OSError:
        return []
    if namespace == Path("/proc/self/ns/pid").readlink():
        return [first]
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "ns/pid").readlink() == namespace:
                    found.append(int(entry.name))
            except OSError:
                continue  # gone meanwhile, or somebody else's
    return sorted(found)
