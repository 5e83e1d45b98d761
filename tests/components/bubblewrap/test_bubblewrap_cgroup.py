"""Limits as files: both layouts, on directories that stand for a cgroup."""

from __future__ import annotations

from pathlib import Path

import pytest

from moby_components.common.cgroups import Hierarchies
from moby_components.runtime.bubblewrap import cgroup
from moby_py.errors import InvalidArgument

RESOURCES = {
    "memory": {"limit": 100, "swap": 300, "reservation": 50},
    "cpu": {"shares": 512, "quota": 5000, "period": 10000, "cpus": "0-1"},
    "pids": {"limit": 7},
    "blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1024}]},
    "devices": [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"},
        {"allow": True, "type": "b", "major": 8, "minor": -1, "access": "r"},
    ],
}


def _names(writes: list[cgroup.Write]) -> list[tuple[str, str]]:
    return [(Path(file).name, value) for file, value, _ in writes]


def test_version_1() -> None:
    found = {name: Path("/cg") / name for name in ("memory", "cpu", "cpuset", "pids", "blkio", "devices")}
    names = _names(cgroup.limits(found, RESOURCES))
    assert names[:9] == [
        ("memory.limit_in_bytes", "100"),
        ("memory.memsw.limit_in_bytes", "300"),
        ("memory.soft_limit_in_bytes", "50"),
        ("cpu.shares", "512"),
        ("cpu.cfs_period_us", "10000"),
        ("cpu.cfs_quota_us", "5000"),
        ("cpuset.cpus", "0-1"),
        ("pids.max", "7"),
        ("blkio.throttle.read_bps_device", "8:0 1024"),
    ]
    assert names[9] == ("devices.deny", "a")
    assert ("devices.allow", "c 1:3 rwm") in names
    assert names[-2:] == [("devices.allow", "c 10:229 rw"), ("devices.allow", "b 8:* r")]


def test_version_2() -> None:
    assert _names(cgroup.limits({"": Path("/cg")}, {**RESOURCES, "unified": {"memory.high": "90"}})) == [
        ("memory.max", "100"),
        ("memory.swap.max", "200"),
        ("memory.low", "50"),
        ("cpu.weight", "20"),
        ("cpu.max", "5000 10000"),
        ("cpuset.cpus", "0-1"),
        ("pids.max", "7"),
        ("io.max", "8:0 rbps=1024"),
        ("memory.high", "90"),
    ]
    with pytest.raises(InvalidArgument) as caught:
        cgroup.limits({"": Path("/cg")}, {"unified": {"cgroup.procs": "1"}})
    assert caught.value.message == "invalid unified limit 'cgroup.procs' - it is no limit of a controller"


def test_version_2_controllers_are_passed_on(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "moby-py", tmp_path / "moby-py/shop"):
        folder.mkdir(exist_ok=True)
        (folder / "cgroup.controllers").write_text("cpu memory pids misc\n")
        (folder / "cgroup.subtree_control").write_text("")
    made = cgroup.make(Hierarchies("v2", {"": tmp_path}), "/moby-py/shop/abc")
    assert made == {"": tmp_path / "moby-py/shop/abc"}
    assert made[""].is_dir()
    assert (tmp_path / "moby-py/shop/cgroup.subtree_control").read_text() == "+pids"


def test_a_refused_limit_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument) as caught:
        cgroup.apply(
            [(str(tmp_path / "pids.max"), "7", False), (str(tmp_path / "no/cpu.shares"), "1", False)]
        )
    assert caught.value.message == "cannot set cpu.shares to 1 - no such file or directory"
    cgroup.apply([(str(tmp_path / "no/memory.swap.max"), "1", True)])
