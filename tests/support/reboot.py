"""A reboot, as far as one platform sees it: every process gone at once, and all run-time state with them.

    with lab() as here, platform("bridge.yaml", user=here.prefix) as moby:
        reboot(moby, here)
        moby.up()

What stays is what a disk keeps: OUT and STATE. What goes: the daemon, services, monitors, containers,
mounts, pinned namespaces, cgroups, interfaces and rules of the lab's host, and RUN.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from support.lab import Lab
from support.platform import TestPlatform, processes

OF_THE_LAB = {"lo", "cable", "sit0", "ip6tnl0", "tunl0"}


def reboot(platform: TestPlatform, here: Lab | None = None) -> None:
    """Leaves the platform as after the power came back, before `up`."""
    _kill(platform)
    _unmount(platform.base)
    _remove_cgroups(platform)
    if here is not None:
        for name in sorted(here.interfaces() - OF_THE_LAB):
            here.sh("ip", "link", "delete", name, check=False)  # its peer may have taken it along
        here.sh("nft", "flush", "ruleset")
    shutil.rmtree(platform.run_dir)
    assert processes(str(platform.base)) == []


def _kill(platform: TestPlatform) -> None:
    """Everyone is stopped before anyone is killed: nobody may write down how another one ended."""
    pids = {platform.daemon_pid}
    for _ in range(200):
        pids |= {pid for pid, _ in processes(str(platform.base))} | _in_cgroups(platform)
        if not pids:
            return
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        _thaw(platform)
        time.sleep(0.02)
        pids = set()
    raise AssertionError(f"these processes do not end: {processes(str(platform.base))}")


def _groups(platform: TestPlatform) -> list[Path]:
    """The platform's cgroup folders in every hierarchy, deepest first."""
    root = Path("/sys/fs/cgroup")
    tops = [*root.glob(f"*/moby-py/{platform.name}"), root / "moby-py" / platform.name]
    return [Path(folder) for top in tops if top.is_dir() for folder, _, _ in os.walk(top, topdown=False)]


def _in_cgroups(platform: TestPlatform) -> set[int]:
    found: set[int] = set()
    for folder in _groups(platform):
        with contextlib.suppress(OSError):
            found |= {int(pid) for pid in (folder / "cgroup.procs").read_text().split()}
    return found - {0, os.getpid()}


def _thaw(platform: TestPlatform) -> None:
    for folder in _groups(platform):
        for name, word in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
            if (folder / name).exists():
                with contextlib.suppress(OSError):
                    (folder / name).write_text(word)


def _unmount(base: Path) -> None:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    for target in reversed([line.split()[4] for line in lines]):
        if target.startswith(f"{base}/"):
            subprocess.run(["umount", "-l", target], check=True, capture_output=True)


def _remove_cgroups(platform: TestPlatform) -> None:
    for _ in range(100):
        for folder in _groups(platform):
            with contextlib.suppress(OSError):
                folder.rmdir()
        if not _groups(platform):
            return
        time.sleep(0.02)
    raise AssertionError(f"cgroups are still busy: {_groups(platform)}")
