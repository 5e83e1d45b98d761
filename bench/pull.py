"""Pull and unpack of one big image from a registry on loopback: ours beside podman, skopeo+umoci, dockerd.

Every run starts from an empty store; emptying it is not timed. All contenders write to the same disk.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import peers
from bench.bigimage import layout
from bench.timing import Comparison, alternate
from support.platform import platform
from support.registry import registry

NAME = "bench/big:latest"
BLUEPRINT = """\
blueprint: 1
name: bench
components: {runtime: crun, image_store: overlay, network: none}
"""


def measure(runs: int) -> Iterator[Comparison]:
    source = layout()
    with (
        registry() as hub,
        peers.podman() as podman,
        peers.dockerd(hub.address) as docker,
        platform(BLUEPRINT) as ours,
    ):
        reference = hub.push(source, NAME, tag="latest")

        def moby() -> float:
            ours("image", "rm", "-f", reference, check=False)
            ours("system", "prune", "-f", check=False)
            return _settled(lambda: ours("pull", "-q", reference, timeout=300))

        def with_podman() -> float:
            _run([*podman, "rmi", "-af"])
            return _settled(lambda: _run([*podman, "pull", "-q", "--tls-verify=false", reference]))

        def with_umoci() -> float:
            folder = Path(tempfile.mkdtemp(prefix="bench-umoci-", dir="/var/tmp"))
            try:
                return _settled(lambda: _umoci(folder, reference))
            finally:
                shutil.rmtree(folder)

        contenders: dict[str, Callable[[], float | None]] = {
            "moby-py pull": moby,
            "podman pull": with_podman,
            "skopeo copy + umoci unpack": with_umoci,
        }
        if docker:

            def with_docker() -> float:
                subprocess.run([*docker, "rmi", "-f", reference], capture_output=True, check=False)
                return _settled(lambda: _run([*docker, "pull", "-q", reference]))

            contenders["docker pull (dockerd)"] = with_docker
        series = alternate(contenders, runs or 3)
        yield Comparison(
            "pull + unpack, 700 MB, 48,000 files, 3 layers", series, unit="s", aim="podman at least x 2"
        )


def _umoci(folder: Path, reference: str) -> None:
    oci = f"{folder}/oci:latest"
    _run(["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{reference}", f"oci:{oci}"])
    _run(["umoci", "unpack", "--image", oci, f"{folder}/bundle"])


def _settled(work: Callable[[], object]) -> float:
    """Time `work` with no earlier contender's dirty pages in the queue."""
    os.sync()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stderr.decode()[-2000:]}")
