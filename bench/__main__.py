"""`python -m bench [SECTION...]`: run the sections, print the comparisons, keep them as JSON."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from importlib import import_module
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "tests")]

SECTIONS = {
    "startup": "bench.startup",
    "containers": "bench.containers",
    "pull": "bench.pull",
    "memory": "bench.memory",
    "network-attach": "bench.network_attach",
    "network-traffic": "bench.network_traffic",
    "network-latency": "bench.network_latency",
    "network-names": "bench.network_names",
    "network-starts": "bench.network_starts",
    "network-memory": "bench.network_memory",
}
GROUPS = {"network": [name for name in SECTIONS if name.startswith("network-")]}
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join([*SECTIONS, *GROUPS]))
    parser.add_argument("--runs", type=int, default=0, help="counted runs of each contender")
    args = parser.parse_args()
    names = [name for word in args.sections for name in GROUPS.get(word, [word])] or list(SECTIONS)
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        parser.error(f"no section {unknown[0]!r} - there are {', '.join([*SECTIONS, *GROUPS])}")
    print(f"{platform.release()} {platform.machine()}, python {platform.python_version()}")
    print("medians [lowest - highest]; ratios of paired runs, the first line of each group is 1\n")
    kept = []
    for name in names:
        module = import_module(SECTIONS[name])
        for comparison in module.measure(args.runs):
            print("\n".join(comparison.rows()) + "\n", flush=True)
            kept.append({"section": name, **comparison.as_json()})
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / time.strftime("%Y-%m-%dT%H-%M-%S.json")
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(f"kept in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
