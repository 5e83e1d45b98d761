"""moby-py and dockerd beside each other with a bridge network: each on a host of its own.

The hosts are network namespaces of one kernel with the same cable to a "remote" machine (support/lab);
both get the same image and are spoken to by the same client, the stock docker command or the bare API.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import peers
from support.lab import Lab, lab
from support.platform import platform, processes

IMAGE = "bench/tools:latest"
NETWORK = "app"
BLUEPRINT = """\
blueprint: 1
name: bench
components:
  runtime: crun
  image_store: overlay
  network: bridge
"""


@dataclass
class Side:
    """One contender. `pids` are the processes that it costs, without the containers' own."""

    name: str
    lab: Lab
    socket: Path
    pids: Callable[[], list[int]]
    command: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    cgroup: str = ""
    """Parent cgroup to ask for: dockerd's containers are put where ours are, so that on a busy machine
    both get the same share of the processors."""

    def __call__(self, *args: str) -> str:
        """Output of a docker command, trimmed."""
        return run([*self.command, *args], env=self.env)

    def start(self, *args: str) -> str:
        """Id of a container on the network, started with `docker run -d ARGS`."""
        where = ["--cgroup-parent", self.cgroup] if self.cgroup else []
        return self("run", "-d", "--network", NETWORK, *where, *args)

    def inspect(self, name: str) -> dict[str, Any]:
        return dict(json.loads(self("inspect", name))[0])

    def address(self, name: str) -> str:
        return str(self.inspect(name)["NetworkSettings"]["Networks"][NETWORK]["IPAddress"])

    def pid(self, name: str) -> int:
        return int(self.inspect(name)["State"]["Pid"])


@contextlib.contextmanager
def sides(*programs: str) -> Iterator[list[Side]]:
    """Ours first, then dockerd where it is installed, each with network `app` and the image of
    `programs` of the host."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-net-")))
        archive = folder / "image.tar"
        found = [stack.enter_context(ours(programs, archive))]
        docker = stack.enter_context(dockerd(archive))
        if docker:
            found.append(docker)
        else:
            print("  no dockerd: apt-get install docker.io")
        yield found


@contextlib.contextmanager
def ours(programs: Sequence[str], archive: Path, blueprint: str = BLUEPRINT) -> Iterator[Side]:
    """The platform; `archive` is written for the peers."""
    with _host() as here, platform(blueprint, user=here.prefix) as moby:
        moby("image", "from-host", "-t", IMAGE, *programs)
        moby("save", "-o", str(archive), IMAGE)
        base = str(moby.base)
        side = Side("moby-py", here, moby.socket, lambda: _ours(base, moby.daemon_pid))
        side.command, side.env = ["docker"], moby.env
        side("network", "create", NETWORK)
        yield side
        ids = side("ps", "-aq").split()
        if ids:
            side("rm", "-f", *ids)
        side("network", "rm", NETWORK)


@contextlib.contextmanager
def dockerd(archive: Path) -> Iterator[Side | None]:
    with _host() as here, peers.dockerd(network=True, prefix=here.prefix) as client:
        if client is None:
            yield None
            return
        socket = Path(client[2].removeprefix("unix://"))
        side = Side("dockerd", here, socket, lambda: _docker(str(socket.parent)), client)
        side.cgroup = f"/moby-py/bench-{os.getpid()}"
        run([*client, "load", "-q", "-i", str(archive)])
        side("network", "create", NETWORK)
        try:
            yield side
        finally:
            ids = side("ps", "-aq").split()
            if ids:
                side("rm", "-f", *ids)
            for folder in Path("/sys/fs/cgroup").glob(f"*/moby-py/bench-{os.getpid()}"):
                with contextlib.suppress(OSError):
                    folder.rmdir()


@contextlib.contextmanager
def _host() -> Iterator[Lab]:
    """A lab whose namespaces are reached by descriptors of ours, so that whoever tidies up /run/netns
    meanwhile does not end a long run."""
    with lab() as made, contextlib.ExitStack() as stack:
        held = []
        for name in (made.host, made.remote):
            fd = os.open(f"/run/netns/{name}", os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, fd)
            held.append(f"../../proc/{os.getpid()}/fd/{fd}")
        yield Lab(*held)


def _ours(base: str, daemon: int) -> list[int]:
    """The daemon, what it started (the resolver), and the monitors: all that names the platform's
    directories, but programs in containers."""
    return sorted({daemon, *family(daemon), *(pid for pid, _ in processes(base))})


def _docker(base: str) -> list[int]:
    daemons = [pid for pid, text in processes(base) if "docker" in text or "containerd" in text]
    return sorted({*daemons, *(p for d in daemons for p in family(d) if _name(p) == "docker-proxy")})


def family(pid: int) -> list[int]:
    """The children of a process, by any of its threads."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, path.read_text().split())
    return found


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def run(argv: Sequence[str], env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        list(argv),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=env or dict(os.environ),
        check=False,
        timeout=120,
    )
    if done.returncode:
        raise SystemExit(
            f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout}{done.stderr[-2000:]}"
        )
    return done.stdout.strip()
