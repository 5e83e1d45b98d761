"""A real platform for a test: built, up, spoken to through its own command, down, and checked for leaks."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLUEPRINTS = ROOT / "blueprints"


@dataclass
class TestPlatform:
    """Built into `out`; state and run-time files below `base`, a short path (sockets!)."""

    __test__ = False
    base: Path
    out: Path
    name: str
    env: dict[str, str] = field(default_factory=dict)
    user: Sequence[str] = ()
    """A prefix such as setpriv ... for a platform of an ordinary user."""

    @property
    def state(self) -> Path:
        return self.base / "state" / self.name

    @property
    def run_dir(self) -> Path:
        return self.base / "run" / self.name

    @property
    def socket(self) -> Path:
        return self.run_dir / "docker.sock"

    def moby(self, *args: str, check: bool = True, timeout: float = 90) -> subprocess.CompletedProcess[str]:
        """`moby-py ARGS`."""
        return self._call([sys.executable, "-m", "moby_py", *args], check=check, timeout=timeout)

    def __call__(
        self, *args: str, check: bool = True, input: str | bytes | None = None, timeout: float = 90
    ) -> subprocess.CompletedProcess[str]:
        """`OUT/bin/NAME ARGS`."""
        return self._call(
            [str(self.out / "bin" / self.name), *args], check=check, input=input, timeout=timeout
        )

    def docker(
        self, *args: str, check: bool = True, input: str | bytes | None = None, timeout: float = 90
    ) -> subprocess.CompletedProcess[str]:
        """The stock docker client against this platform."""
        return self._call(["docker", *args], check=check, input=input, timeout=timeout)

    def command(self, *args: str) -> list[str]:
        return [*self.user, str(self.out / "bin" / self.name), *args]

    def up(self, *args: str) -> None:
        self.moby("up", "-d", *args, str(self.out))

    def down(self, *args: str, check: bool = True) -> None:
        self.moby("down", *args, str(self.out), check=check)

    @property
    def daemon_pid(self) -> int:
        import json

        return int(json.loads((self.run_dir / "daemon.json").read_text())["pid"])

    def kill_daemon(self) -> None:
        """SIGKILL, and wait until it is gone."""
        pid = self.daemon_pid
        handle = os.pidfd_open(pid)
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        import select

        select.select([handle], [], [], 10)
        os.close(handle)

    def _call(
        self, argv: list[str], *, check: bool, timeout: float, input: str | bytes | None = None
    ) -> subprocess.CompletedProcess[str]:
        data = input.encode() if isinstance(input, str) else input
        done = subprocess.run(
            [*self.user, *argv],
            input=data,
            stdin=subprocess.DEVNULL if data is None else None,
            capture_output=True,
            timeout=timeout,
            env=self.env,
            cwd=self.base,
            check=False,
        )
        result = subprocess.CompletedProcess(
            argv, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        )
        if check and done.returncode:
            log = self.state / "daemon.log"
            tail = log.read_text(errors="replace")[-3000:] if log.exists() else ""
            said = f"{result.stdout}{result.stderr}\n--- daemon\n{tail}"
            raise AssertionError(f"{' '.join(argv)} ended with {done.returncode}\n{said}")
        return result


def leftovers(platform: TestPlatform) -> list[str]:
    """What a platform left behind on the host: mounts, processes, cgroups, sockets."""
    base = str(platform.base)
    found = [
        f"mount {line.split()[4]}"
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if line.split()[4].startswith(base)
    ]
    found += [f"process {pid} {text}" for pid, text in processes(base)]
    for root in Path("/sys/fs/cgroup").glob("*"):
        for parent in (root, root / "moby-py"):
            if (parent / platform.name).is_dir():
                group = parent / platform.name
                found += [f"cgroup {group}", *(f"cgroup {child}" for child in group.glob("*/"))]
    if Path("/sys/fs/cgroup/moby-py", platform.name).is_dir():
        found.append(f"cgroup /sys/fs/cgroup/moby-py/{platform.name}")
    return sorted(set(found))


def processes(text: str) -> list[tuple[int, str]]:
    """Processes whose command line mentions `text`, but this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if text in line:
                    found.append((int(entry.name), line[:300]))
    return found


@contextlib.contextmanager
def platform(
    blueprint: str | Path = "quickstart.yaml",
    *,
    sets: Sequence[str] = (),
    plugins: Sequence[Path] = (),
    name: str = "",
    start: bool = True,
    user: Sequence[str] = (),
    uid: int = 0,
    env: dict[str, str] | None = None,
    check_leaks: bool = True,
    folder: str | Path = "/tmp",
) -> Iterator[TestPlatform]:
    """Build a blueprint (a file of blueprints/ or YAML text), start it, yield it, take it down.

    Containers are removed first; afterwards nothing may be left on the host, else the test fails.
    """
    base = Path(tempfile.mkdtemp(prefix="mp-", dir=folder))
    base.chmod(0o755)
    if isinstance(blueprint, str) and "\n" in blueprint:
        path = base / "blueprint.yaml"
        path.write_text(blueprint)
    else:
        path = BLUEPRINTS / blueprint
    name = name or f"t{os.getpid()}x{base.name[3:].lower().replace('_', '')}"
    under_test = TestPlatform(base=base, out=base / "out", name=name, user=user)
    under_test.env = {
        **os.environ,
        "MOBY_PY_STATE": str(base / "state"),
        "MOBY_PY_RUN": str(base / "run"),
        "DOCKER_HOST": f"unix://{under_test.socket}",
        "HOME": str(base),
        **(env or {}),
    }
    if uid:
        os.chown(base, uid, uid)
    try:
        sets = [f"name={name}", *sets]
        more = [*(arg for s in sets for arg in ("--set", s)), *(f"--plugin={path}" for path in plugins)]
        under_test.moby("build", str(path), "-o", str(under_test.out), *more)
        if start:
            under_test.up()
        yield under_test
        if check_leaks:
            take_down(under_test)
            assert leftovers(under_test) == []
    finally:
        with contextlib.suppress(Exception):
            take_down(under_test)
        clean(under_test)


def take_down(under_test: TestPlatform) -> None:
    """Remove all containers, then the platform."""
    if (under_test.run_dir / "daemon.json").exists():
        ids = under_test("ps", "-aq", check=False).stdout.split()
        if ids:
            under_test("rm", "-f", *ids, check=False)
    under_test.down(check=False)


def clean(under_test: TestPlatform) -> None:
    """Whatever happened: no process, no mount, no cgroup, no file of this platform stays."""
    for pid, _ in processes(str(under_test.base)):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    for root in Path("/sys/fs/cgroup").glob("*/moby-py/" + under_test.name):
        with contextlib.suppress(OSError):
            for procs in [*root.glob("cgroup.procs"), *root.glob("*/cgroup.procs")]:
                for pid in procs.read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
    time.sleep(0.05)
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    for line in reversed(lines):
        target = line.split()[4]
        if target.startswith(str(under_test.base)):
            subprocess.run(["umount", "-l", target], check=False, capture_output=True)
    for root in Path("/sys/fs/cgroup").glob("*/moby-py/" + under_test.name):
        with contextlib.suppress(OSError):
            for folder in (*root.glob("*/"), root):
                folder.rmdir()
    shutil.rmtree(under_test.base, ignore_errors=True)
