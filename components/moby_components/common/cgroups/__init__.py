"""Control groups as they are on this host - v1, hybrid or v2 - read and cleared without a process.

`Hierarchies.detect()` says where each controller is mounted; `Hierarchies.of(pid)` where a process
is in each; `read_stats` turns that into the numbers of `docker stats`.
"""

from moby_components.common.cgroups.control import (
    frozen,
    kill_all,
    oom_kills,
    processes,
    remove,
    thaw,
)
from moby_components.common.cgroups.layout import Hierarchies
from moby_components.common.cgroups.oom import out_of_memory
from moby_components.common.cgroups.stats import read_stats

__all__ = [
    "Hierarchies",
    "frozen",
    "kill_all",
    "oom_kills",
    "out_of_memory",
    "processes",
    "read_stats",
    "remove",
    "thaw",
]
