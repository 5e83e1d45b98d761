"""A real dockerd beside us, in a host of the test's own: nothing of it is shared with another one."""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.lab import Lab

BIP = "172.30.0.1/24"


@dataclass
class Dockerd:
    """`start` and `stop` as often as you like; containers of it are stopped with it."""

    lab: Lab
    base: Path
    daemon: subprocess.Popen[bytes] | None = None

    def __call__(self, *args: str, input: bytes | None = None, check: bool = True) -> str:
        argv = [*self.lab.prefix, "docker", "-H", f"unix://{self.base}/docker.sock", *args]
        done = subprocess.run(argv, input=input or b"", capture_output=True, check=False, timeout=60)
        assert not check or done.returncode == 0, (argv, done.stderr.decode())
        return done.stdout.decode()

    def start(self) -> None:
        argv = [*self.lab.prefix, "dockerd", "--host", f"unix://{self.base}/docker.sock", "--iptables=true"]
        argv += ["--pidfile", f"{self.base}/pid", "--bip", BIP]
        argv += ["--data-root", f"{self.base}/data", "--exec-root", f"{self.base}/exec"]
        with (self.base / "log").open("ab") as log:
            self.daemon = subprocess.Popen(argv, stdout=log, stderr=log)
        end = time.monotonic() + 30
        while not self("version", "--format", "{{.Server.Version}}", check=False).strip():
            assert self.daemon.poll() is None and time.monotonic() < end, (self.base / "log").read_text()[
                -2000:
            ]
            time.sleep(0.05)

    def stop(self) -> None:
        if self.daemon is not None:
            self.daemon.terminate()
            self.daemon.wait(30)
            self.daemon = None

    def web(self, name: str, port: int) -> None:
        """A container that publishes a page with its name."""
        if not self("images", "-q", "bb:1").strip():
            data = io.BytesIO()
            with tarfile.open(fileobj=data, mode="w") as tar:
                tar.add(str(shutil.which("busybox")), "bin/busybox")
            self("import", "-", "bb:1", input=data.getvalue())
        script = f"/bin/busybox mkdir -p /w; echo {name} > /w/index.html; /bin/busybox httpd -p 80 -h /w; "
        script += "trap : TERM; /bin/busybox sleep 600 & wait"
        self("run", "-d", "--name", name, "-p", f"{port}:80", "bb:1", "/bin/busybox", "sh", "-c", script)

    def get(self, name: str, address: str, port: int) -> str:
        """The page that a container of it gets."""
        fetch = ("/bin/busybox", "nc", "-w", "3", address, str(port))
        answer = self("exec", "-i", name, *fetch, input=b"GET / HTTP/1.0\r\n\r\n", check=False)
        return answer.replace("\r", "").partition("\n\n")[2]


@contextlib.contextmanager
def dockerd(lab: Lab) -> Iterator[Dockerd]:
    """Not started yet; gone with all it has mounted afterwards."""
    made = Dockerd(lab, Path(tempfile.mkdtemp(prefix="mp-dockerd-", dir="/var/tmp")))
    try:
        yield made
    finally:
        with contextlib.suppress(Exception):
            if made.daemon is not None:
                made("rm", "-f", *made("ps", "-aq").split(), check=False)
            made.stop()
        for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
            if line.split()[4].startswith(str(made.base)):
                subprocess.run(["umount", "-l", line.split()[4]], check=False)
        shutil.rmtree(made.base, ignore_errors=True)
