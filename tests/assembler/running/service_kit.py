"""Services for tests: a process that accepts on a socket, and a platform with one of each sort."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from moby_py import survivors
from moby_py.component import Service

SERVER = """
import os, signal, socket, sys, time
path = sys.argv[1]
if "--stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "--broken" in sys.argv:
    sys.exit(3)
if os.path.exists(path):
    os.unlink(path)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
if "--mute" not in sys.argv:
    listener.listen()
time.sleep(120)
"""

PLUGIN = """
import sys
from pathlib import Path
from moby_py import Component, hookimpl
from moby_py.component import Service

class Toy(Component):
    kind = "toy"
    name = "toy"

    def services(self):
        run = self.context.dirs.run
        command = (sys.executable, "-I", "-S", str(Path(__file__).with_name("server.py")))
        return [
            Service(name, (*command, str(run / name)), ready=run / name, keep=keep)
            for name, keep in (("kept", True), ("plain", False))
        ]

    async def open(self):
        if Path(__file__).with_name("fail").exists():
            raise RuntimeError("told to fail")

@hookimpl
def moby_components():
    return [Toy]
"""


def service(base: Path, name: str = "one", *flags: str, keep: bool = False, **options: float) -> Service:
    """A real process that accepts at `base`/`name`."""
    code = base / "server.py"
    code.write_text(SERVER)
    path = base / name
    argv = (sys.executable, "-I", "-S", str(code), str(path), *flags)
    return Service(name, argv, ready=path, keep=keep, **options)  # type: ignore[arg-type]


def alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(holds: object, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)


class ToyPlatform:
    """A platform directory whose only component brings two services; no engine, no api."""

    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="mp-sv-"))
        self.out = self.base / "out"
        self.run = self.base / "r"
        self.out.mkdir()
        (self.base / "toy.py").write_text(PLUGIN)
        (self.base / "server.py").write_text(SERVER)
        (self.out / "platform.yaml").write_text(
            f"name: sv\ncomponents: {{toy: [{{use: toy, as: toy}}]}}\nplugins: [{self.base}/toy.py]\n"
        )
        (self.out / "platform.lock").write_text("{}")

    def moby(self, command: str, *args: str) -> subprocess.CompletedProcess[str]:
        places = ("--state", str(self.base / "s"), "--run", str(self.run))
        argv = [sys.executable, "-m", "moby_py", command, *args, *places, str(self.out)]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)

    def up(self) -> subprocess.CompletedProcess[str]:
        return self.moby("up", "-d")

    def pids(self) -> dict[str, int]:
        return {name.rpartition("/")[2]: one.pid for name, one in survivors.read(self.run).items()}

    def kill_daemon(self) -> None:
        pid = json.loads((self.run / "daemon.json").read_text())["pid"]
        handle = os.pidfd_open(pid)
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        survivors.ended(handle, 10)
        os.close(handle)

    def log(self) -> str:
        return (self.base / "s" / "daemon.log").read_text()

    def close(self) -> None:
        self.moby("down")
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if str(self.base).encode() in (entry / "cmdline").read_bytes():
                        os.kill(int(entry.name), signal.SIGKILL)
        shutil.rmtree(self.base, ignore_errors=True)


@contextlib.contextmanager
def toy_platform() -> Iterator[ToyPlatform]:
    made = ToyPlatform()
    try:
        yield made
    finally:
        made.close()
