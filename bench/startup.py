"""How long the command line takes before it does anything, and `build` of the quickstart."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.timing import Comparison, alternate, command

ROOT = Path(__file__).parents[1]


def measure(runs: int) -> Iterator[Comparison]:
    moby = str(Path(sys.executable).parent / "moby-py")
    series = alternate(
        {
            "moby-py --version": command([moby, "--version"]),
            "python -c pass": command([sys.executable, "-c", "pass"]),
        },
        runs or 15,
        warmup=2,
    )
    yield Comparison("command line start-up", series, aim="under 100 ms")
    with tempfile.TemporaryDirectory() as folder:
        build = [moby, "build", str(ROOT / "blueprints/quickstart.yaml"), "-o", f"{folder}/out"]
        yield Comparison(
            "build of quickstart", alternate({"moby-py build": command(build)}, runs or 7), aim="under 500 ms"
        )
