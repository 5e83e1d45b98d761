"""Where the controllers are mounted, and where a process is in each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

UNIFIED = ""
"""The key of the v2 hierarchy, as in /proc/PID/cgroup ("0::/path")."""


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """`mode`: "v1" only v1 controllers; "hybrid" v1 controllers and an empty v2 tree beside them;
    "v2" the unified hierarchy; "none". `mounts`: controller (or "name=systemd", or "") -> directory.
    """

    mode: Literal["v1", "hybrid", "v2", "none"]
    mounts: Mapping[str, Path] = field(default_factory=dict)

    @classmethod
    def detect(cls, mountinfo: str | None = None) -> Hierarchies:
        """Read from /proc/self/mountinfo (or the text given)."""
        if mountinfo is None:
            mountinfo = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
        mounts: dict[str, Path] = {}
        for line in mountinfo.splitlines():
            before, _, after = line.partition(" - ")
            fields, tail = before.split(), after.split()
            if len(fields) < 5 or len(tail) < 3 or tail[0] not in ("cgroup", "cgroup2"):
                continue
            where = Path(re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), fields[4]))
            if tail[0] == "cgroup2":
                mounts.setdefault(UNIFIED, where)
                continue
            for option in tail[2].split(","):
                if option not in ("rw", "ro", "xattr", "none", "clone_children") and not option.startswith(
                    "release_agent"
                ):
                    mounts.setdefault(option, where)
        v1 = [name for name in mounts if name != UNIFIED and not name.startswith("name=")]
        if v1:
            return cls("hybrid" if UNIFIED in mounts else "v1", mounts)
        return cls("v2", mounts) if UNIFIED in mounts else cls("none", mounts)

    def controllers(self) -> frozenset[str]:
        """Those that can limit something here. v2's "io" is listed as "blkio" too."""
        if self.mode != "v2":
            return frozenset(name for name in self.mounts if name and not name.startswith("name="))
        try:
            text = (self.mounts[UNIFIED] / "cgroup.controllers").read_text()
        except OSError:
            return frozenset()
        found = set(text.split())
        # Devices and freezing are no controllers of v2: bpf programs and cgroup.freeze do that.
        return frozenset(found | {"devices", "freezer"} | ({"blkio"} if "io" in found else set()))

    def at(self, path: str) -> dict[str, Path]:
        """The directories of cgroup `path` (absolute, of every hierarchy)."""
        return {name: where / path.lstrip("/") for name, where in self.mounts.items()}

    def of(self, pid: int) -> dict[str, Path]:
        """The directory of a process in each mounted hierarchy. Raises `ProcessLookupError`."""
        try:
            text = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8", errors="surrogateescape")
        except FileNotFoundError as error:
            raise ProcessLookupError(f"no process {pid}") from error
        found: dict[str, Path] = {}
        for line in text.splitlines():
            _, names, path = line.split(":", 2)
            for name in names.split(","):
                if name in self.mounts:
                    found[name] = self.mounts[name] / path.lstrip("/")
        return found
