"""The small parts below the runtimes: users, roots, cgroup files, last words, identities."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from moby_components.common import cgroups, inroot
from moby_components.common.cgroups import Hierarchies
from moby_components.common.inroot import open_in_root, read_in_root
from moby_components.common.monitor import Identity
from moby_components.common.ociruntime.inits import is_static
from moby_components.common.ociruntime.words import last_words, spelled
from moby_components.common.processes import run
from moby_components.common.users import User, resolve
from moby_py.errors import InvalidArgument, RuntimeFailed


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/passwd").write_text(
        "# comment\nbroken line\nroot:x:0:0::/root:/bin/sh\napp:x:10:20:App:/app:/bin/sh\n11:x:99:98::/odd:\n"
    )
    (root / "etc/group").write_text("wheel:x:5:root,app\napp:x:20:\nmore:x:21:app\n")
    return root


@pytest.mark.parametrize(
    ("user", "groups", "expected"),
    [
        ("", (), User(0, 0, (0, 5), "/root", "root")),
        ("app", (), User(10, 20, (20, 5, 21), "/app", "app")),
        ("10", (), User(10, 20, (20, 5, 21), "/app", "app")),
        ("app:wheel", (), User(10, 5, (5,), "/app", "app")),
        ("app:77", ("more", "88"), User(10, 77, (77, 21, 88), "/app", "app")),
        ("11", (), User(99, 98, (98,), "/odd", "11")),
        ("4242", (), User(4242, 0, (0,), "/", "")),
        ("4242:4343", (), User(4242, 4343, (4343,), "/", "")),
    ],
)
def test_users(rootfs: Path, user: str, groups: tuple[str, ...], expected: User) -> None:
    assert resolve(rootfs, user, groups) == expected


@pytest.mark.parametrize(
    ("user", "groups", "message"),
    [
        ("nobody", (), "unable to find user nobody - no matching entries in passwd file"),
        ("app:none", (), "unable to find group none - no matching entries in group file"),
        ("app", ("none",), "unable to find group none - no matching entries in group file"),
        ("2147483648", (), "invalid user '2147483648' - ids must be in the range 0-2147483647"),
    ],
)
def test_users_that_are_not(rootfs: Path, user: str, groups: tuple[str, ...], message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        resolve(rootfs, user, groups)
    assert caught.value.message == message


@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("target", ["{outside}/passwd", "../../../../../../..{outside}/passwd"])
def test_no_link_leads_out_of_a_root(
    rootfs: Path, tmp_path: Path, target: str, by_hand: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by_hand:  # as on a kernel without openat2
        monkeypatch.setattr(inroot, "_OPENAT2", 10**6)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "passwd").write_text("evil:x:666:666::/:\n")
    (rootfs / "etc/passwd").unlink()
    (rootfs / "etc/passwd").symlink_to(target.format(outside=outside))
    assert read_in_root(rootfs, "/etc/passwd", 100) is None
    with pytest.raises(InvalidArgument):
        resolve(rootfs, "evil")
    (rootfs / "real").write_text("inside:x:7:7::/:\n")
    (rootfs / "etc/passwd").unlink()
    (rootfs / "etc/passwd").symlink_to("/../real")
    assert resolve(rootfs, "inside").uid == 7
    (rootfs / "etc/group").unlink()
    (rootfs / "etc/group").symlink_to("group")  # a ring
    assert read_in_root(rootfs, "/etc/group", 100) is None
    (rootfs / "pipe").parent.mkdir(exist_ok=True)
    os.mkfifo(rootfs / "pipe")
    assert read_in_root(rootfs, "pipe", 100) is None
    fd = open_in_root(rootfs, "/etc/..", os.O_PATH)
    assert Path(os.readlink(f"/proc/self/fd/{fd}")) == rootfs
    os.close(fd)


HYBRID = """\
25 30 0:22 / /sys/fs/cgroup ro - tmpfs tmpfs ro
26 25 0:23 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct
27 25 0:24 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
28 25 0:25 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd
29 25 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
"""


def test_cgroup_layouts() -> None:
    hybrid = Hierarchies.detect(HYBRID)
    assert hybrid.mode == "hybrid"
    assert {k: str(v).removeprefix("/sys/fs/cgroup/") for k, v in hybrid.mounts.items()} == {
        "cpu": "cpu,cpuacct",
        "cpuacct": "cpu,cpuacct",
        "memory": "memory",
        "name=systemd": "systemd",
        "": "unified",
    }
    assert hybrid.controllers() == {"cpu", "cpuacct", "memory"}
    assert Hierarchies.detect(HYBRID[: HYBRID.index("29 ")]).mode == "v1"
    assert Hierarchies.detect("29 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw").mode == "v2"
    assert Hierarchies.detect("1 1 0:1 / / rw - ext4 /dev/x rw").mode == "none"


def write(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def test_statistics_of_cgroup_v1(tmp_path: Path) -> None:
    group = write(
        tmp_path / "g",
        {
            "cpuacct.usage": "3000000\n",
            "cpuacct.usage_percpu": "1000000 2000000 \n",
            "cpuacct.stat": "user 5\nsystem 7\n",
            "cpu.stat": "nr_periods 10\nnr_throttled 2\nthrottled_time 99\n",
            "memory.usage_in_bytes": "4096\n",
            "memory.limit_in_bytes": "9223372036854771712\n",
            "memory.stat": "cache 1\ntotal_inactive_file 2\n",
            "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
            "pids.current": "4\n",
            "pids.max": "max\n",
            "blkio.throttle.io_service_bytes_recursive": "8:0 Read 512\n8:0 Write 0\nTotal 512\n",
            "freezer.state": "FROZEN\n",
        },
    )
    names = ("cpu", "cpuacct", "memory", "pids", "blkio", "freezer", "")
    groups = dict.fromkeys(names, group)
    stats = cgroups.read_stats(groups)
    assert (stats.cpu_total, stats.cpu_per_core) == (3_000_000, (1_000_000, 2_000_000))
    assert (stats.cpu_user, stats.cpu_system) == (50_000_000, 70_000_000)
    assert (stats.periods, stats.throttled_periods, stats.throttled_time) == (10, 2, 99)
    host_memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert (stats.memory_usage, stats.memory_limit) == (4096, host_memory)
    assert stats.memory["total_inactive_file"] == 2
    assert (stats.pids, stats.pids_limit) == (4, 0)
    assert [(io.major, io.minor, io.op, io.value) for io in stats.io_bytes] == [
        (8, 0, "Read", 512),
        (8, 0, "Write", 0),
    ]
    assert cgroups.frozen(groups)
    assert cgroups.oom_kills(groups) == 3


def test_statistics_of_cgroup_v2(tmp_path: Path) -> None:
    group = write(
        tmp_path / "g",
        {
            "cpu.stat": "usage_usec 30\nuser_usec 10\nsystem_usec 20\nnr_periods 1\nthrottled_usec 4\n",
            "memory.current": "4096\n",
            "memory.peak": "8192\n",
            "memory.max": "1048576\n",
            "memory.events": "low 0\nmax 6\noom 2\noom_kill 1\n",
            "memory.stat": "inactive_file 5\n",
            "pids.current": "1\n",
            "pids.max": "9\n",
            "io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n",
            "cgroup.freeze": "1\n",
        },
    )
    stats = cgroups.read_stats({"": group})
    assert (stats.cpu_total, stats.cpu_user, stats.cpu_system) == (30_000, 10_000, 20_000)
    assert (stats.memory_usage, stats.memory_max, stats.memory_limit) == (4096, 8192, 1 << 20)
    assert (stats.memory_failures, stats.memory, stats.pids_limit) == (6, {"inactive_file": 5}, 9)
    assert [io.value for io in stats.io_bytes + stats.io_operations] == [10, 20, 1, 2]
    assert cgroups.frozen({"": group})
    assert cgroups.oom_kills({"": group}) == 1
    assert cgroups.read_stats({"": tmp_path / "gone"}).cpu_total == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            "runc create failed: unable to start container process: "
            'exec: "x": executable file not found in $PATH',
            'exec: "x": executable file not found in $PATH',
        ),
        (
            "executable file `x` not found in $PATH: No such file or directory",
            'exec: "x": executable file not found in $PATH',
        ),
        (
            "executable file `/a/b` not found in $PATH: No such file or directory",
            'exec: "/a/b": stat /a/b: no such file or directory',
        ),
        ("open executable: Operation not permitted", 'exec: "cmd": permission denied'),
        ("mount `a` to `b`: Permission denied", "mount `a` to `b`: permission denied"),
        ("something else", "something else"),
    ],
)
def test_last_words_are_spelled_alike(words: str, expected: str) -> None:
    assert spelled(words, "cmd") == expected


def test_last_words_are_found(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text('{"level":"error","msg":"first"}\n{"level":"warning","msg":"later"}\nnot json\n')
    assert last_words(log, "otherwise") == "first"
    assert last_words(tmp_path / "none", 'a\ntime="x" level=error msg="it \\"broke\\""\n') == 'it "broke"'
    assert (
        last_words(tmp_path / "none", "W1124 19:18:06.065480   12236 util.go:64] FATAL ERROR: no\n") == "no"
    )


def test_an_identity_is_not_fooled_by_a_reused_pid() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        who = Identity.of(child.pid)
        assert who is not None
        other = Identity(who.pid, who.started - 1)
        assert who.runs()
        assert not other.exists()
        assert other.pidfd() is None
        assert not other.kill(signal.SIGKILL)
        assert child.poll() is None
        assert who.kill(signal.SIGKILL)
    finally:
        child.kill()
        child.wait()
    assert not who.exists()
    assert not who.kill(signal.SIGKILL)


def test_children_report_their_end_their_words_and_their_hanging() -> None:
    async def work() -> None:
        finished = await run(["/bin/sh", "-c", "echo out; echo err >&2; exit 3"])
        assert (finished.code, finished.out, finished.err, finished.words) == (3, b"out\n", b"err\n", "err")
        with pytest.raises(RuntimeFailed) as caught:
            await run(["/bin/sleep", "60"], timeout=0.05)
        assert caught.value.message == "sleep was killed - no end after 0.05 s"
        with pytest.raises(RuntimeFailed) as caught:
            await run(["/not/there"])
        assert caught.value.message == "cannot start /not/there - no such file or directory"
        secret = await run(["/usr/bin/env"])
        assert b"SURELY_SECRET" not in secret.out

    os.environ["SURELY_SECRET"] = "x"
    try:
        asyncio.run(work())
    finally:
        del os.environ["SURELY_SECRET"]


def test_static_programs_are_told_from_others(tmp_path: Path) -> None:
    assert not is_static(Path(os.path.realpath("/bin/sh")))
    (tmp_path / "script").write_text("#!/bin/sh\n" + "x" * 100)
    assert not is_static(tmp_path / "script")
    busybox = Path("/usr/bin/busybox")
    if busybox.exists():
        assert is_static(busybox)
