"""runc, the reference runtime: https://github.com/opencontainers/runc"""

from __future__ import annotations

from collections.abc import Sequence

from moby_components.common.ociruntime import CONMON, OciRuntime
from moby_py import Component, hookimpl
from moby_py.needs import Binary, Feature


class Runc(OciRuntime):
    name = "runc"
    summary = "OCI containers with runc, watched over by conmon"
    binary = "runc"
    needs = (
        Binary("runc", package="runc", min_version="1.0"),
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
    return [Runc]
