"""What this host cannot do although the runtime could: taken away, and said in Docker's words.

An ordinary user's platform has no cgroups: limits are then no error, as they are none to Docker, but
whoever asked for them must hear that they do not hold.
"""

from __future__ import annotations

from collections.abc import Collection

from moby_py.model import Resources

_ABSENT = "or the cgroup is not mounted"
_TEXTS = {
    "memory": f"Your kernel does not support memory limit capabilities {_ABSENT}. Limitation discarded.",
    "memory_swap": (
        f"Your kernel does not support swap limit capabilities {_ABSENT}. Memory limited without swap."
    ),
    "memory_reservation": (
        f"Your kernel does not support memory soft limit capabilities {_ABSENT}. Limitation discarded."
    ),
    "memory_swappiness": (
        f"Your kernel does not support memory swappiness capabilities {_ABSENT}. Memory swappiness discarded."
    ),
    "oom_kill_disable": "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
    "pids_limit": f"Your kernel does not support PIDs limit capabilities {_ABSENT}. PIDs limit discarded.",
    "nano_cpus": f"Your kernel does not support CPU CFS scheduler {_ABSENT}. NanoCPUs discarded.",
    "cpu_shares": f"Your kernel does not support CPU shares {_ABSENT}. Shares discarded.",
    "cpu_period": f"Your kernel does not support CPU CFS scheduler {_ABSENT}. Period discarded.",
    "cpu_quota": f"Your kernel does not support CPU CFS scheduler {_ABSENT}. Quota discarded.",
    "cpuset_cpus": f"Your kernel does not support cpuset {_ABSENT}. Cpuset discarded.",
    "cpuset_mems": f"Your kernel does not support cpuset {_ABSENT}. Cpuset discarded.",
    "blkio_weight": f"Your kernel does not support Block I/O weight {_ABSENT}. Weight discarded.",
    "read_bps": (
        f"Your kernel does not support BPS Block I/O read limit {_ABSENT}. "
        "Block I/O BPS read limit discarded."
    ),
    "write_bps": (
        f"Your kernel does not support BPS Block I/O write limit {_ABSENT}. "
        "Block I/O BPS write limit discarded."
    ),
    "read_iops": (
        f"Your kernel does not support IOPS Block read limit {_ABSENT}. Block I/O IOPS read limit discarded."
    ),
    "write_iops": (
        f"Your kernel does not support IOPS Block write limit {_ABSENT}. "
        "Block I/O IOPS write limit discarded."
    ),
    "device_cgroup_rules": (
        "Your kernel does not support the devices cgroup or it is not mounted. Device rules discarded."
    ),
}


def discarded(asked: Resources, features: Collection[str]) -> tuple[str, ...]:
    """One warning for each limit asked for that nothing can enforce here, none twice."""
    if "cgroups" in features:
        return ()
    nothing = Resources()
    texts = (text for name, text in _TEXTS.items() if getattr(asked, name) != getattr(nothing, name))
    return tuple(dict.fromkeys(texts))
