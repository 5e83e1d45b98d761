"""crun, the light and fast one: https://github.com/containers/crun"""

from __future__ import annotations

from collections.abc import Sequence

from moby_components.common.ociruntime import CONMON, OciRuntime
from moby_py import Component, hookimpl
from moby_py.needs import Binary, Feature


class Crun(OciRuntime):
    name = "crun"
    summary = "OCI containers with crun, watched over by conmon"
    binary = "crun"
    needs = (
        Binary("crun", package="crun", min_version="1.0"),
        CONMON,
        Feature("cgroup", why="limits and pause", optional=True),
        Feature("seccomp", why="the default profile", optional=True),
    )
    features = frozenset(
        {
            "pause",
            "update",
            "stats",
            "exec",
            "tty",
            "userns",
            "seccomp",
            "cgroups",
            "devices",
            "join-namespaces",
        }
    )


@hookimpl
def moby_components() -> Sequence[type[Component]]:
    return [Crun]
