"""Programs and kernel features: found, measured, explained."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from moby_py import probes
from moby_py.binaries import Program, find
from moby_py.cgroups import CgroupLayout, read_layout
from moby_py.component import Component
from moby_py.errors import HostError, PluginError
from moby_py.host import Finding, HostReport, check_host, host_facts, lacking
from moby_py.needs import Binary, Feature
from moby_py.wiring import Part, Wiring


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program `tool` on PATH, version 1.4.2."""
    path = tmp_path / "bin/tool"
    path.parent.mkdir()
    path.write_text('#!/bin/sh\necho "tool version 1.4.2-rc1 (gc)"\n')
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")
    return path


def test_a_program_is_found_with_version_and_digest(tool: Path) -> None:
    digest = hashlib.sha256(tool.read_bytes()).hexdigest()
    assert find(Binary("tool")) == Program(str(tool), "1.4.2-rc1", digest)


def test_an_absolute_path_goes_before_path(tool: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.write_text("#!/bin/sh\necho 9.0\n")
    other.chmod(0o755)
    assert find(Binary("tool", path=str(other))).path == str(other)
    missing = find(Binary("tool", path=str(tmp_path / "none")))
    assert missing.problem == f"there is no program {tmp_path}/none"
    assert missing.hint == f"name an existing program instead of {tmp_path}/none"


def test_a_program_that_a_python_module_ships(
    tool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "ships_a_tool"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    (package / "tool").write_text("#!/bin/sh\necho 2.0\n")
    (package / "tool").chmod(0o755)
    monkeypatch.syspath_prepend(tmp_path)
    assert find(Binary("tool", module="ships_a_tool:tool")).path == str(package / "tool")
    assert find(Binary("tool", module="ships_a_tool:none")).path == str(tool)
    assert find(Binary("tool", module="no_such_module:tool")).path == str(tool)


def test_what_is_missing_comes_with_its_debian_package() -> None:
    assert find(Binary("no-such-tool", package="no-such")) == Program(
        problem="no-such-tool is not installed", hint="apt-get install no-such"
    )


def test_too_old_is_missing(tool: Path) -> None:
    program = find(Binary("tool", min_version="1.10", package="tool"))
    assert program.problem == f"{tool} is version 1.4.2-rc1, at least 1.10 is needed"
    assert find(Binary("tool", min_version="1.4")).problem == ""


def test_a_program_of_another_machine_does_not_run(tool: Path) -> None:
    tool.write_bytes(b"\x7fELF not really")
    assert find(Binary("tool")).problem == f"{tool} does not run: Exec format error"


def test_facts_about_this_host_are_never_missing() -> None:
    report = host_facts()
    assert {f.name for f in report.findings} >= set(probes.FEATURES)
    assert report.missing == ()
    assert all(f.hint for f in report.findings if f.status == "warn" and f.name != "raising-limits")


def test_check_says_nothing_twice() -> None:
    lines = subprocess.run(
        [sys.executable, "-m", "moby_py", "check"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    said = [line for line in lines if not line.startswith(" ")]  # a hint may serve two
    assert said
    assert len(set(said)) == len(said)


MOUNTS = {
    "v2": "30 1 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n",
    "v1": "31 1 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct ro,nosuid - cgroup cgroup rw,cpu,cpuacct\n"
    "33 31 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n",
    "none": "20 1 0:20 / /proc rw - proc proc rw\n",
}
MOUNTS["hybrid"] = MOUNTS["v1"] + "38 31 0:35 / UNIFIED rw - cgroup2 cgroup2 rw\n"


@pytest.mark.parametrize("mode", MOUNTS)
def test_the_four_cgroup_layouts(mode: str, tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("hugetlb rdma\n")
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS[mode].replace("UNIFIED", str(tmp_path)))
    layout = read_layout(str(mounts))
    assert layout.mode == mode
    if mode in ("v1", "hybrid"):
        assert layout.v1 == {"cpu": "/sys/fs/cgroup/cpu,cpuacct", "cpuacct": "/sys/fs/cgroup/cpu,cpuacct"}
        assert layout.readonly == ("/sys/fs/cgroup/cpu,cpuacct",)
    if mode == "hybrid":
        assert layout.v2 == ("hugetlb", "rdma")
        assert layout.controllers == ("cpu", "cpuacct", "hugetlb", "rdma")


def test_a_controller_left_in_v2_is_explained_with_its_real_name(monkeypatch: pytest.MonkeyPatch) -> None:
    layout = CgroupLayout("hybrid", {"cpu": "/c"}, "/sys/fs/cgroup/unified", ("hugetlb", "rdma"))
    monkeypatch.setattr(probes, "read_layout", lambda: layout)
    probe = probes.cgroup_single_owner()
    assert not probe.ok
    assert probe.what == (
        "hybrid cgroups: hugetlb rdma still belongs to the v2 hierarchy at /sys/fs/cgroup/unified, "
        "and a runtime that wants one owner for all controllers refuses to run"
    )
    assert probe.hint == (
        "mkdir -p /sys/fs/cgroup/hugetlb && mount -t cgroup -o hugetlb cgroup /sys/fs/cgroup/hugetlb && "
        "mkdir -p /sys/fs/cgroup/rdma && mount -t cgroup -o rdma cgroup /sys/fs/cgroup/rdma"
    )
    monkeypatch.setattr(probes, "read_layout", lambda: CgroupLayout("v2", {}, "/u", ("cpu", "memory")))
    assert probes.cgroup_single_owner().ok


def test_probing_for_overlay_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOBY_PY_STATE", str(tmp_path))
    probes.overlayfs.cache_clear()
    before = Path("/proc/self/mountinfo").read_text()
    probe = probes.overlayfs()
    probes.overlayfs.cache_clear()
    assert list(tmp_path.iterdir()) == []
    assert Path("/proc/self/mountinfo").read_text() == before
    assert probe.ok or probe.hint


def parts(*needs: Binary | Feature) -> Wiring:
    cls = type("Thing", (Component,), {"kind": "runtime", "name": "thing", "needs": needs})
    return Wiring(
        (
            Part("runtime", "thing", "one", {}, cls, "components.runtime[0]"),
            Part("runtime", "thing", "two", {}, cls, "components.runtime[1]"),
        ),
        (),
    )


def test_a_need_is_probed_once_and_names_all_who_have_it(tool: Path) -> None:
    report = check_host(parts(Binary("tool"), Feature("root", why="it mounts")))
    first = report.findings[0]
    assert (first.status, first.what) == ("ok", f"tool 1.4.2-rc1 at {tool}")
    assert first.users == ("runtime/one", "runtime/two")
    assert [(b.id, b.path) for b in report.binaries] == [("one", str(tool)), ("two", str(tool))]
    assert report.findings[1].why == "it mounts"


def test_optional_needs_only_warn() -> None:
    report = check_host(parts(Binary("no-such-tool", optional=True)))
    assert report.findings[0].status == "warn"
    assert report.missing == ()
    report.require()


def test_everything_missing_is_one_error_with_every_way_out() -> None:
    report = HostReport(
        (
            Finding("missing", "a", "a is not installed", hint="apt-get install a", users=("runtime/x",)),
            Finding("missing", "b", "b is off", hint="sysctl b=1", users=("network/y", "network/z")),
            Finding("warn", "c", "c", users=("api/d",)),
        )
    )
    with pytest.raises(HostError) as caught:
        report.require()
    assert caught.value.message == (
        "this host lacks what the blueprint needs - "
        "runtime/x: a is not installed; network/y, network/z: b is off"
    )
    assert caught.value.hint == "apt-get install a && sysctl b=1"
    assert caught.value.exit_status == 3


def test_needs_that_nobody_knows_are_the_plugin_s_fault() -> None:
    with pytest.raises(PluginError) as caught:
        check_host(parts(Feature("quantum")))  # type: ignore[arg-type]
    assert caught.value.message.startswith("runtime/one: it needs Feature(name='quantum'")

    class Fails(Component):
        kind, name = "runtime", "fails"

        @classmethod
        def needs_for(cls, options: object) -> tuple[()]:
            raise KeyError("path")

    with pytest.raises(PluginError) as caught:
        lacking(Fails, {})
    assert caught.value.message == "runtime/fails: it cannot say what it needs - KeyError: 'path'"
