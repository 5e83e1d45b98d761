"""Pull and unpack of one big image from a registry on loopback: ours beside podman, skopeo+umoci, dockerd.

Every run has an empty store on a fresh file system of its own; making and removing it is not timed.
"""

from __future__ import annotations

import os
import subprocess
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
    with registry() as hub:
        reference = hub.push(layout(), NAME, tag="latest")

        def moby() -> float:
            with peers.disk() as disk, platform(BLUEPRINT, folder=disk) as ours:
                return _settled(lambda: ours("pull", "-q", reference, timeout=300))

        def with_podman() -> float:
            with peers.disk() as disk, peers.podman(folder=disk) as podman:
                return _settled(lambda: _run([*podman, "pull", "-q", "--tls-verify=false", reference]))

        def with_umoci() -> float:
            with peers.disk() as disk:
                return _settled(lambda: _umoci(disk, reference))

        def with_docker() -> float:
            with peers.disk() as disk, peers.dockerd(hub.address, folder=disk) as docker:
                if docker is None:
                    raise SystemExit("dockerd did not come up")
                return _settled(lambda: _run([*docker, "pull", "-q", reference]))

        contenders: dict[str, Callable[[], float | None]] = {
            "moby-py pull": moby,
            "podman pull": with_podman,
            "skopeo copy + umoci unpack": with_umoci,
        }
        if peers.have("dockerd", "docker"):
            contenders["docker pull (dockerd)"] = with_docker
        series = alternate(contenders, runs or 3, warmup=0)
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
