"""The container's cgroup: directories in every hierarchy, and limits as files to write.

A limit is `(file, value, optional)`; what is optional may be missing from this kernel (swap
accounting, weights). The monitor writes them once the container is complete; `update` writes here.
"""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moby_components.common.cgroups import Hierarchies
from moby_components.common.cgroups.layout import UNIFIED
from moby_py.errors import InvalidArgument, RuntimeFailed

FREEZE_TRIES, FREEZE_PAUSE = 400, 0.005
Write = tuple[str, str, bool]

_USUAL_DEVICES = (
    "c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm", "c 5:0 rwm",
    "c 5:2 rwm", "c 136:* rwm",
)  # fmt: skip
"""Make any node, use null, zero, full, random, urandom, tty, ptmx and pts: as runc allows."""
_V2_CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids", "hugetlb")


def groups(hierarchies: Hierarchies, path: str) -> dict[str, Path]:
    """The directories that belong to cgroup `path`: of v1's controllers, or of v2."""
    found = hierarchies.at(path)
    if hierarchies.mode == "v2":
        return {UNIFIED: found[UNIFIED]}
    return {name: where for name, where in found.items() if name and not name.startswith("name=")}


def make(hierarchies: Hierarchies, path: str) -> dict[str, Path]:
    """Make the cgroup and its parents. Raises RuntimeFailed naming what the kernel refused."""
    found = groups(hierarchies, path)
    for name, where in found.items():
        top = hierarchies.mounts[name]
        chain = [where, *(p for p in where.parents if p != top and p.is_relative_to(top))]
        for last in (False, False, True):
            try:
                _make_chain(name, chain)
                break
            except OSError as error:
                # Whoever made the parents too may just be removing them: they were empty.
                if not last and error.errno in (errno.ENOENT, errno.ENODEV):
                    continue
                text = (error.strerror or str(error)).lower()
                raise RuntimeFailed(f"cannot make the cgroup {where} - {text}") from error
    return found


def _make_chain(name: str, chain: Sequence[Path]) -> None:
    for directory in reversed(chain):
        if name == UNIFIED:
            _pass_on(directory.parent)
        directory.mkdir(mode=0o755, exist_ok=True)
        if name == "cpuset":
            _inherit(directory)


def _pass_on(parent: Path) -> None:
    """v2: children have only the controllers that their parent passes on."""
    has = set((parent / "cgroup.controllers").read_text().split())
    passed = set((parent / "cgroup.subtree_control").read_text().split())
    for controller in _V2_CONTROLLERS:
        if controller in has - passed:
            with contextlib.suppress(OSError):  # a limit that needs it fails with its own words
                (parent / "cgroup.subtree_control").write_text(f"+{controller}")


def _inherit(directory: Path) -> None:
    """v1: a new cpuset is empty, and takes no process until it has CPUs and memory nodes."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if not (directory / name).read_text().strip():
            (directory / name).write_text((directory.parent / name).read_text())


def limits(found: Mapping[str, Path], resources: Mapping[str, Any]) -> list[Write]:
    """linux.resources of the runtime specification as writes, in an order that the kernel takes."""
    if UNIFIED in found:
        return _v2(found[UNIFIED], resources)
    return _v1(found, resources)


def apply(writes: Sequence[Write]) -> None:
    """Change the limits of a live container. Raises InvalidArgument with the kernel's word."""
    late: list[Write] = []
    for file, value, optional in writes:
        try:
            Path(file).write_text(value)
        except OSError as error:
            if error.errno == errno.EINVAL and "memory." in file:
                late.append((file, value, optional))  # memory must not pass memory+swap on the way
            elif not (optional and error.errno in (errno.ENOENT, errno.EOPNOTSUPP, errno.EACCES)):
                raise _refused(file, value, error) from error
    for file, value, _ in late:
        try:
            Path(file).write_text(value)
        except OSError as error:
            raise _refused(file, value, error) from error


def _refused(file: str, value: str, error: OSError) -> InvalidArgument:
    return InvalidArgument(f"cannot set {Path(file).name} to {value} - {(error.strerror or '').lower()}")


def _v1(found: Mapping[str, Path], resources: Mapping[str, Any]) -> list[Write]:
    writes: list[Write] = []

    def add(controller: str, name: str, value: Any, *, optional: bool = False) -> None:
        if value is not None and controller in found:
            writes.append((str(found[controller] / name), str(value), optional))

    memory, cpu = resources.get("memory", {}), resources.get("cpu", {})
    add("memory", "memory.limit_in_bytes", memory.get("limit"))
    add("memory", "memory.memsw.limit_in_bytes", memory.get("swap"), optional=True)
    add("memory", "memory.soft_limit_in_bytes", memory.get("reservation"))
    add("memory", "memory.swappiness", memory.get("swappiness"))
    add("memory", "memory.oom_control", 1 if memory.get("disableOOMKiller") else None)
    add("cpu", "cpu.shares", cpu.get("shares"))
    add("cpu", "cpu.cfs_period_us", cpu.get("period"))
    add("cpu", "cpu.cfs_quota_us", cpu.get("quota"))
    add("cpuset", "cpuset.cpus", cpu.get("cpus"))
    add("cpuset", "cpuset.mems", cpu.get("mems"))
    add("pids", "pids.max", resources.get("pids", {}).get("limit"))
    block = resources.get("blockIO", {})
    weights = ("blkio.weight", "blkio.bfq.weight")
    for name in weights:
        if "blkio" in found and (found["blkio"].parent / name).exists():
            add("blkio", name, block.get("weight"))
            break
    for key, name in (
        ("throttleReadBpsDevice", "read_bps"),
        ("throttleWriteBpsDevice", "write_bps"),
        ("throttleReadIOPSDevice", "read_iops"),
        ("throttleWriteIOPSDevice", "write_iops"),
    ):
        for rule in block.get(key, ()):
            value = f"{rule['major']}:{rule['minor']} {rule['rate']}"
            add("blkio", f"blkio.throttle.{name}_device", value)
    for page in resources.get("hugepageLimits", ()):
        add("hugetlb", f"hugetlb.{page['pageSize']}.limit_in_bytes", page["limit"])
    if "devices" in resources:
        for allowed, line in _devices(resources["devices"]):
            add("devices", f"devices.{'allow' if allowed else 'deny'}", line)
    return writes


def _devices(rules: Sequence[Mapping[str, Any]]) -> list[tuple[bool, str]]:
    lines: list[tuple[bool, str]] = []
    for rule in rules:
        if "type" not in rule:
            lines.append((rule["allow"], "a"))
            if not rule["allow"]:
                lines += [(True, usual) for usual in _USUAL_DEVICES]
            continue
        numbers = ":".join("*" if rule.get(k, -1) == -1 else str(rule[k]) for k in ("major", "minor"))
        lines.append((rule["allow"], f"{rule['type']} {numbers} {rule['access']}"))
    return lines


def _v2(found: Path, resources: Mapping[str, Any]) -> list[Write]:
    writes: list[Write] = []

    def add(name: str, value: Any, *, optional: bool = False) -> None:
        if value is not None:
            writes.append((str(found / name), "max" if value == -1 else str(value), optional))

    memory, cpu = resources.get("memory", {}), resources.get("cpu", {})
    limit, swap = memory.get("limit"), memory.get("swap")
    add("memory.max", limit)
    if swap is not None:
        add("memory.swap.max", swap if swap == -1 else swap - (limit or 0), optional=True)
    add("memory.low", memory.get("reservation"))
    if cpu.get("shares"):
        add("cpu.weight", 1 + ((cpu["shares"] - 2) * 9999) // 262142)
    if "quota" in cpu or "period" in cpu:
        quota = cpu.get("quota", -1)
        add("cpu.max", f"{'max' if quota == -1 else quota} {cpu.get('period', 100_000)}")
    add("cpuset.cpus", cpu.get("cpus"))
    add("cpuset.mems", cpu.get("mems"))
    add("pids.max", resources.get("pids", {}).get("limit"))
    block = resources.get("blockIO", {})
    if block.get("weight"):
        add("io.weight", f"default {1 + (block['weight'] - 10) * 9999 // 990}", optional=True)
    for key, word in (
        ("throttleReadBpsDevice", "rbps"),
        ("throttleWriteBpsDevice", "wbps"),
        ("throttleReadIOPSDevice", "riops"),
        ("throttleWriteIOPSDevice", "wiops"),
    ):
        for rule in block.get(key, ()):
            add("io.max", f"{rule['major']}:{rule['minor']} {word}={rule['rate']}")
    for page in resources.get("hugepageLimits", ()):
        add(f"hugetlb.{page['pageSize']}.max", page["limit"])
    for name, value in resources.get("unified", {}).items():
        if "/" in name or name.startswith("cgroup."):
            raise InvalidArgument(f"invalid unified limit {name!r} - it is no limit of a controller")
        add(name, value)
    return writes


def freeze(found: Mapping[str, Path], *, frozen: bool) -> None:
    """Freeze or thaw, and return when it is so. Blocks for the moment that the kernel needs.

    Raises RuntimeFailed where there is no freezer, or when processes do not stop within seconds.
    """
    if UNIFIED in found:
        (found[UNIFIED] / "cgroup.freeze").write_text("1" if frozen else "0")
        file, wanted = found[UNIFIED] / "cgroup.events", f"frozen {int(frozen)}"
    elif "freezer" in found:
        file, wanted = found["freezer"] / "freezer.state", "FROZEN" if frozen else "THAWED"
        file.write_text(wanted)
    else:
        raise RuntimeFailed("cannot pause - this host has no freezer cgroup")
    for _ in range(FREEZE_TRIES):
        if wanted in file.read_text().splitlines():
            return
        time.sleep(FREEZE_PAUSE)  # v1's freezer tells nobody when it has finished
    raise RuntimeFailed("cannot pause - some process did not freeze within two seconds")
