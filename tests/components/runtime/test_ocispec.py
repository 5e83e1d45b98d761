"""config.json from a spec: a table of what is asked, on hosts of every sort, and what comes out."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from moby_components.common.cgroups import Hierarchies
from moby_components.common.ocispec import HostFacts, Placement, build, build_process, build_resources
from moby_components.common.ocispec.devices import device_rules
from moby_components.common.ocispec.host import CAPABILITIES, capability_names
from moby_components.common.ocispec.seccomp import resolve
from moby_components.common.users import User
from moby_py.errors import InvalidArgument, MobyError, Unavailable
from moby_py.model import (
    ContainerSpec,
    Device,
    Mount,
    ProcessSpec,
    Resources,
    Rlimit,
    Sandbox,
    ThrottleDevice,
)

V1 = ("cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "devices", "freezer")
ROOT = User(0, 0, (0,), "/root", "root")
CID = "c" * 64


def host(mode: str = "hybrid", **changes: Any) -> HostFacts:
    names = ("",) if mode == "v2" else V1
    facts: dict[str, Any] = {
        "arch": "amd64",
        "kernel": (6, 1),
        "cgroups": Hierarchies(mode, {name: Path("/nowhere", name) for name in names}),  # type: ignore[arg-type]
        "controllers": frozenset(V1),
        "bounding": frozenset(CAPABILITIES) - {"CAP_SYS_RESOURCE"},
        "can_raise_limits": False,
        "rlimits": {"nofile": 20000, "core": -1},
    }
    return HostFacts(**(facts | changes))


def spec(process: dict[str, Any] | None = None, **changes: Any) -> ContainerSpec:
    return ContainerSpec(
        id=CID, name="n", image="i", image_id="i",
        process=ProcessSpec(**({"args": ("sh",), "env": ("A=b",)} | (process or {}))), **changes,
    )  # fmt: skip


def built(
    asked: ContainerSpec, facts: HostFacts | None = None, sandbox: Sandbox | None = None, user: User = ROOT
) -> tuple[dict[str, Any], list[str]]:
    warnings: list[str] = []
    place = Placement(cgroup_parent="/moby-py/test", init=Path("/usr/bin/catatonit"), warn=warnings.append)
    config = build(asked, Path("/r"), sandbox or Sandbox(mode="empty"), user, facts or host(), place)
    json.dumps(config)
    return config, warnings


def mounts_of(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {mount["destination"]: mount for mount in config["mounts"]}


def test_the_defaults_of_the_field() -> None:
    config, warnings = built(spec(hostname="box"))
    assert warnings == []
    assert config["root"] == {"path": "/r", "readonly": False}
    assert config["hostname"] == "box"
    assert list(mounts_of(config)) == [
        "/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm",
    ]  # fmt: skip
    assert "ro" in mounts_of(config)["/sys"]["options"]
    assert "gid=5" in mounts_of(config)["/dev/pts"]["options"]
    assert sorted(ns["type"] for ns in config["linux"]["namespaces"]) == [
        "cgroup", "ipc", "mount", "network", "pid", "uts",
    ]  # fmt: skip
    assert config["linux"]["cgroupsPath"] == f"/moby-py/test/{CID}"
    assert config["linux"]["resources"] == {"devices": [{"allow": False, "access": "rwm"}]}
    assert config["process"]["user"] == {"uid": 0, "gid": 0, "additionalGids": [0], "umask": 18}
    assert config["process"]["env"] == ["A=b", "HOME=/root"]
    assert config["linux"]["sysctl"]["net.ipv4.ip_unprivileged_port_start"] == "0"
    seccomp = config["linux"]["seccomp"]
    assert seccomp["defaultAction"] == "SCMP_ACT_ERRNO"
    assert not any("includes" in rule or "excludes" in rule for rule in seccomp["syscalls"])


@pytest.mark.parametrize(
    ("changes", "sandbox", "expected"),
    [
        ({"pid": "host"}, "empty", {"cgroup", "ipc", "mount", "network", "uts"}),
        ({"uts": "host", "ipc": "host"}, "empty", {"cgroup", "mount", "network", "pid"}),
        ({"cgroup": "host"}, "host", {"ipc", "mount", "pid", "uts"}),
        ({"pid": "/proc/7/ns/pid"}, "host", {"cgroup", "ipc", "mount", "pid=/proc/7/ns/pid", "uts"}),
    ],
)
def test_namespaces(changes: dict[str, str], sandbox: str, expected: set[str]) -> None:
    config, _ = built(spec(namespaces=changes, hostname="box"), sandbox=Sandbox(mode=sandbox))
    found = {ns["type"] + (f"={ns['path']}" if "path" in ns else "") for ns in config["linux"]["namespaces"]}
    assert found == expected
    assert ("hostname" in config) == (changes.get("uts") != "host")
    assert mounts_of(config)["/dev/shm"]["type"] == ("bind" if changes.get("ipc") == "host" else "tmpfs")


def test_a_pinned_network_namespace_is_joined() -> None:
    config, _ = built(spec(), sandbox=Sandbox(mode="private", path="/run/netns/x"))
    assert {"type": "network", "path": "/run/netns/x"} in config["linux"]["namespaces"]


def test_mounts_of_its_own_take_the_defaults_places() -> None:
    mounts = (
        Mount(type="bind", source="/a", target="/data"),
        Mount(type="bind", source="/b", target="/etc/hosts", options=("bind", "ro", "rslave")),
        Mount(type="tmpfs", source="tmpfs", target="/dev/shm", options=("size=1m",)),
    )
    config, _ = built(spec(mounts=mounts))
    found = mounts_of(config)
    assert found["/data"]["options"] == ["rbind", "rprivate"]
    assert found["/etc/hosts"]["options"] == ["bind", "ro", "rslave"]
    assert found["/dev/shm"]["options"] == ["size=1m"]
    assert config["linux"]["rootfsPropagation"] == "rslave"
    whole = mounts_of(built(spec(mounts=(Mount(type="bind", source="/dev", target="/dev"),)))[0])
    assert [target for target in whole if target.startswith("/dev")] == ["/dev"]


def test_privileged_and_read_only() -> None:
    config, _ = built(spec(privileged=True, readonly_rootfs=True, cgroup_parent="mine/deep"))
    assert config["root"]["readonly"]
    assert "seccomp" not in config["linux"]
    assert "ro" not in mounts_of(config)["/sys"]["options"]
    assert config["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert config["linux"]["cgroupsPath"] == f"/mine/deep/{CID}"
    assert "/dev/null" in [device["path"] for device in config["linux"]["devices"]]


def test_an_init_goes_first() -> None:
    config, _ = built(spec(init=True))
    assert config["process"]["args"] == ["/sbin/docker-init", "--", "sh"]
    assert mounts_of(config)["/sbin/docker-init"]["source"] == "/usr/bin/catatonit"


def test_capabilities_are_what_is_asked_and_what_there_is() -> None:
    config, warnings = built(spec({"capabilities": ("CAP_SYS_RESOURCE", "CAP_KILL", "CAP_CHOWN")}))
    found = config["process"]["capabilities"]
    assert found == {name: ["CAP_CHOWN", "CAP_KILL"] for name in ("bounding", "effective", "permitted")}
    assert warnings == ["left out CAP_SYS_RESOURCE - this host does not have it to give"]
    assert capability_names(0b100001) == {"CAP_CHOWN", "CAP_KILL"}


@pytest.mark.parametrize(
    ("limit", "raising", "expected", "warned"),
    [
        (Rlimit(name="nofile", soft=10, hard=20), False, (10, 20), False),
        (Rlimit(name="nofile", soft=30000, hard=40000), False, (20000, 20000), True),
        (Rlimit(name="nofile", soft=-1, hard=-1), False, (20000, 20000), True),
        (Rlimit(name="nofile", soft=-1, hard=-1), True, (2**64 - 1, 2**64 - 1), False),
        (Rlimit(name="core", soft=0, hard=-1), False, (0, 2**64 - 1), False),
    ],
)
def test_ulimits_are_clamped_to_what_may_be_given(
    limit: Rlimit, raising: bool, expected: tuple[int, int], warned: bool
) -> None:
    config, warnings = built(spec({"rlimits": (limit,)}), host(can_raise_limits=raising))
    (found,) = config["process"]["rlimits"]
    assert (found["soft"], found["hard"]) == expected
    assert bool(warnings) == warned


def test_the_oom_score_is_not_lowered_without_the_right_to() -> None:
    assert built(spec({"oom_score_adj": -500}))[0]["process"]["oomScoreAdj"] == 0
    assert built(spec({"oom_score_adj": 500}))[0]["process"]["oomScoreAdj"] == 500
    lowered, warnings = built(spec({"oom_score_adj": -500}), host(can_raise_limits=True))
    assert (lowered["process"]["oomScoreAdj"], warnings) == (-500, [])


EVERYTHING = Resources(
    memory=64, memory_reservation=32, memory_swappiness=10, oom_kill_disable=True, nano_cpus=1_500_000_000,
    cpu_shares=512, cpuset_cpus="0-1", pids_limit=9, hugetlb={"2MB": 4096},
)  # fmt: skip


def test_limits_on_cgroup_v1() -> None:
    found = build_resources(EVERYTHING, host(), pytest.fail)
    assert found == {
        "memory": {"limit": 64, "reservation": 32, "swap": 128, "swappiness": 10, "disableOOMKiller": True},
        "cpu": {"shares": 512, "period": 100_000, "quota": 150_000, "cpus": "0-1"},
        "pids": {"limit": 9},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4096}],
    }


def test_limits_on_cgroup_v2_and_without_any() -> None:
    warnings: list[str] = []
    limits = dataclasses.replace(EVERYTHING, unified={"memory.high": "99"})
    found = build_resources(limits, host("v2"), warnings.append)
    assert found["memory"] == {"limit": 64, "reservation": 32, "swap": 128}
    assert found["unified"] == {"memory.high": "99"}
    assert warnings == [
        "left out memory swappiness - cgroup v2 has none",
        "left out oom-kill-disable - cgroup v2 has none",
    ]
    none = host("none", controllers=frozenset())
    config, warnings = built(spec(resources=EVERYTHING), none)
    assert config["linux"]["resources"] == {}
    assert "cgroupsPath" not in config["linux"]
    assert "/sys/fs/cgroup" not in mounts_of(config)
    assert warnings[0] == "left out a limit - this host has no memory cgroup controller for us"


def test_rootless_gives_up_exactly_what_it_must() -> None:
    facts = host("v2", rootless=True, controllers=frozenset(), gids=1)
    config, _ = built(spec(namespaces={"pid": "host"}), facts, Sandbox(mode="host"))
    found = mounts_of(config)
    assert (found["/sys"]["type"], found["/proc"]["type"]) == ("bind", "bind")
    assert "gid=5" not in found["/dev/pts"]["options"]
    assert config["process"]["user"]["additionalGids"] == []
    assert config["linux"]["sysctl"] == {}


def test_device_rules_in_order() -> None:
    asked = spec(
        devices=(Device(source="/dev/null", target="/dev/x", access="rw"),),
        resources=Resources(device_cgroup_rules=("c 42:* rmw",)),
    )
    assert device_rules(asked) == [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rw"},
        {"allow": True, "type": "c", "major": 42, "minor": -1, "access": "rmw"},
    ]


def test_seccomp_conditions() -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        "syscalls": [
            {"names": ["always"], "action": "A"},
            {"names": ["with"], "action": "A", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["without"], "action": "E", "errno": "EPERM", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["arm"], "action": "A", "includes": {"arches": ["arm64"]}},
            {"name": "new", "action": "A", "includes": {"minKernel": "5.0"}},
            {"names": ["newer"], "action": "A", "includes": {"minKernel": "7.1"}},
        ],
    }
    low = resolve(profile, frozenset(), "amd64", (6, 1))
    assert [rule["names"][0] for rule in low["syscalls"]] == ["always", "without", "new"]
    assert low["syscalls"][1]["errnoRet"] == 1
    assert low["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    high = resolve(profile, frozenset({"CAP_SYS_ADMIN"}), "arm64", (4, 19))
    assert [rule["names"][0] for rule in high["syscalls"]] == ["always", "with", "arm"]


def test_the_default_profile_opens_with_capabilities() -> None:
    def allowed(*capabilities: str) -> set[str]:
        config, _ = built(spec({"capabilities": capabilities}))
        rules = config["linux"]["seccomp"]["syscalls"]
        return {name for rule in rules if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}

    assert not allowed() & {"bpf", "init_module", "kexec_load", "open_by_handle_at"}
    assert {"bpf", "setns"} <= allowed("CAP_SYS_ADMIN")
    assert "init_module" in allowed("CAP_SYS_MODULE")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"process": {"args": ()}}, "no command specified"),
    ({"process": {"cwd": "data"}}, "invalid working directory 'data' - it must be absolute"),
    ({"process": {"rlimits": (Rlimit(name="x", soft=1, hard=1),)}}, "invalid ulimit type 'x'"),
    (
        {"process": {"rlimits": (Rlimit(name="core", soft=2, hard=1),)}},
        "ulimit core: soft limit 2 is above the hard limit 1",
    ),
    ({"process": {"oom_score_adj": 1001}}, "invalid oom score 1001 - it must be between -1000 and 1000"),
    (
        {"namespaces": {"net": "host"}},
        "unknown namespace 'net' - it is none of pid, ipc, uts, user, cgroup",
    ),
    (
        {"namespaces": {"pid": "other"}},
        "invalid pid namespace 'other' - private, host or a path is meant",
    ),
    (
        {"namespaces": {"user": "private"}},
        "a private user namespace needs uid and gid mappings - none given",
    ),
    ({"cgroup_parent": "/../up"}, "invalid cgroup parent '/../up' - it must not contain '..'"),
    (
        {"mounts": (Mount(type="tmpfs", source="tmpfs", target="/"),)},
        "invalid mount target '/' - the root is the image's",
    ),
    (
        {"mounts": (Mount(type="bind", source="/a", target="/x/../y"),)},
        "invalid mount target '/x/../y' - it must be absolute",
    ),
    (
        {"mounts": (Mount(type="bind", source="a", target="/y"),)},
        "invalid mount source 'a' - it must be absolute",
    ),
    (
        {"devices": (Device(source="/etc/passwd", target="/dev/x"),)},
        "cannot add device '/etc/passwd' - it is not a device node",
    ),
    (
        {"devices": (Device(source="/dev/not-there", target="/dev/x"),)},
        "error gathering device information for '/dev/not-there' - no such file or directory",
    ),
    (
        {"devices": (Device(source="/dev/null", target="/dev/x", access="rx"),)},
        "invalid device mode 'rx' - letters of rwm are meant",
    ),
    (
        {"resources": Resources(device_cgroup_rules=("c 1 r",))},
        "invalid device cgroup rule format 'c 1 r' - like 'c 42:* rmw'",
    ),
    (
        {"resources": Resources(memory=10, memory_swap=5)},
        "invalid memory swap 5 - memory plus swap must not be below memory, 10",
    ),
    ({"resources": Resources(memory_swap=5)}, "invalid memory swap - it needs a memory limit with it"),
    (
        {"resources": Resources(nano_cpus=1, cpu_quota=1)},
        "conflicting options - cpus and a cpu quota or period cannot both be set",
    ),
    (
        {"resources": Resources(read_bps=(ThrottleDevice(path="/dev/null", rate=1),))},
        "cannot limit device '/dev/null' - it is no block device",
    ),
    ({"seccomp": "{}"}, "decoding seccomp profile failed - 'defaultAction'"),
    ({"seccomp": "{"}, "decoding seccomp profile failed - Expecting property name"),
]


@pytest.mark.parametrize(("asked", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_cannot_be_is_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        built(spec(**asked))
    assert caught.value.message.startswith(message)


def test_what_the_host_lacks_outright() -> None:
    def refused(asked: ContainerSpec, facts: HostFacts, place: Placement) -> tuple[str, str | None]:
        with pytest.raises(Unavailable) as caught:
            build(asked, Path("/r"), Sandbox(mode="empty"), ROOT, facts, place)
        return caught.value.message, caught.value.hint

    place = Placement(cgroup_parent="/p")
    assert refused(spec(init=True), host(), place) == (
        "cannot run an init in the container - this host has no static init program",
        "apt-get install catatonit",
    )
    own = spec(seccomp='{"defaultAction": "SCMP_ACT_ALLOW"}')
    text = "cannot apply the seccomp profile - this kernel has no seccomp"
    assert refused(own, host(seccomp=False), place) == (text, None)
    config, warnings = built(spec(), host(seccomp=False))
    assert "seccomp" not in config["linux"]
    assert warnings == ["containers run without a seccomp profile - this kernel has no seccomp"]
    with pytest.raises(MobyError, match="without a path"):
        built(spec(), sandbox=Sandbox(mode="runtime"))


def test_apparmor_and_selinux_only_where_they_are() -> None:
    asked = ProcessSpec(args=("sh",), apparmor_profile="docker-default", selinux_label="s0")
    assert not {"apparmorProfile", "selinuxLabel"} & build_process(asked, ROOT, host(), pytest.fail).keys()
    with_both = build_process(asked, ROOT, host(apparmor=True, selinux=True), pytest.fail)
    assert (with_both["apparmorProfile"], with_both["selinuxLabel"]) == ("docker-default", "s0")
