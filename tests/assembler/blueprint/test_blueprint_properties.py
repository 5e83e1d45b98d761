"""Whatever is fed to the loader: problems, never an exception; under 2 s, under 200 MB."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from blueprint_kit import SmallRegistry
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moby_py.blueprint import load
from moby_py.problems import Problem
from moby_py.validation import validate

SECONDS = 2.0
ROOT = Path(__file__).parents[3]
SEEDS = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "blueprints").glob("*.yaml"))] + [
    """\
blueprint: 1
name: shop
vars: {subnet: 10.89.0.0/16, mtu: 1400, tag: "${mtu}x"}
components:
  runtime:
    - &r runc
    - {use: crun, as: sandbox}
    - {use: *r, as: three, with: {root: "${env:HOME:-/r}/x"}}
  image_store: overlay
  network: {use: bridge, with: {subnet: "${subnet}", mtu: "${mtu}", dns: {port: 53}, keys: [a, b]}}
  secrets: {use: vault, with: {address: http://x}}
images: [docker.io/library/alpine:3]
""",
]
LINES = [
    "blueprint: 1",
    "name: x",
    "extends: shop.yaml",
    "vars:",
    "components:",
    "runtime",
    ": ",
    "\n",
    "\n  ",
    "- ",
]
MARKS = [
    "{",
    "}",
    "[",
    "]",
    ",",
    "&a ",
    "*a",
    "<<: *a",
    "!!int ",
    "!x ",
    "|\n",
    ">\n",
    "'",
    '"',
    "#",
    "---\n",
    "%",
    "? ",
]
WORDS = [
    "${",
    "${env:HOME}",
    "${x}",
    "$${",
    "use: runc",
    "with: ",
    "as: ",
    "0755",
    "yes",
    "1e999",
    "2024-01-01",
    "null",
]
ODD = ["network: {use: bridge, with: {mtu: ", "9" * 30, "\t", "\x85", "\u2028", "\ufeff", "é", "\x00"]
BITS = st.sampled_from([*LINES, *MARKS, *WORDS, *ODD])
QUIET = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def holds(data: bytes, *, sets: list[str] | None = None, variables: dict[str, str] | None = None) -> None:
    """The promise: a list of problems or a whole blueprint, in time."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "shop.yaml"
        file.write_bytes(data)
        began = time.process_time()
        loaded = load(file, sets=sets or (), variables=variables, environ={"HOME": "/root"})
        problems = list(loaded.problems)
        assert loaded.blueprint is not None or problems
        if loaded.blueprint is not None:
            blueprint, more = validate(loaded.blueprint, SmallRegistry())
            problems += more
            broken = [path for path, origin in blueprint.source.origins.items() if origin.broken]
            assert problems or not broken, broken
            if not problems:
                assert blueprint.name
                assert all(path.startswith("components.") for path in (s.path for s in blueprint.selections))
        assert time.process_time() - began < SECONDS
    for problem in problems:
        assert isinstance(problem, Problem)
        assert problem.message
        assert "\n" not in str(problem), problem
        assert len(str(problem)) < 5000


@QUIET
@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    holds(data)


@QUIET
@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    holds(text.encode("utf-8", "surrogatepass"))


@QUIET
@given(st.lists(BITS, max_size=60))
def test_anything_like_yaml(bits: list[str]) -> None:
    holds("".join(bits).encode())


@QUIET
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 12), BITS | st.text(max_size=3)), max_size=6),
)
def test_changed_blueprints(seed: str, changes: list[tuple[int, int, str]]) -> None:
    for place, length, text in changes:
        at = place % (len(seed) + 1)
        seed = seed[:at] + text + seed[at + length :]
    holds(seed.encode("utf-8", "replace"))


@QUIET
@given(
    st.sampled_from(SEEDS), st.lists(st.text(max_size=60), max_size=3), st.dictionaries(st.text(), st.text())
)
def test_any_set_and_var(seed: str, sets: list[str], variables: dict[str, str]) -> None:
    holds(seed.encode(), sets=sets, variables=variables)


PLACES = [
    "name",
    "components",
    "components.runtime",
    "components.runtime[0]",
    "components.runtime[9].with",
    "images",
]
DEEP = [
    "components.network.with.mtu",
    "components.network[0].with.keys[1]",
    "vars.x",
    "vars",
    "a.b.c",
    'x["y z"]',
]
PATHS = st.sampled_from([*PLACES, *DEEP])
VALUES = st.sampled_from(
    ["", "null", "runc", "[a, b]", "{use: crun}", "3", "${x}", "*a", "!y z", "yes", "[", '"']
)


@QUIET
@given(st.sampled_from(SEEDS), st.lists(st.tuples(PATHS, VALUES), max_size=4))
def test_likely_sets(seed: str, pairs: list[tuple[str, str]]) -> None:
    holds(seed.encode(), sets=[f"{path}={value}" for path, value in pairs])


MEBI = 1 << 20
REPEATED = [
    "%TAG !a! !b\n",
    "${a}",
    "\x00",
    "\xff",
    "a: &a [*a, ",
    "'\\n",
    '"\\x41',
    "a: |\n b\n\n",
    "? - ",
    "\u2028",
]
HEAD = "blueprint: 1\nname: x\n"
BRIDGE = HEAD + "components:\n  runtime: runc\n  image_store: overlay\n  network: {use: bridge, with: {%s}}\n"
LARGE: dict[str, Callable[[], str]] = {
    **{
        f"repeated {bit!r}": (lambda bit=bit: bit * (MEBI // len(bit.encode())))  # type: ignore[misc]
        for bit in [*MARKS, "- ", "a: ", "!", "a\n", "[a,", "{a: ", "- - ", "a: b\n", "1,", "-\n", *REPEATED]
    },
    "many keys": lambda: HEAD + "".join(f"k{i}: 1\n" for i in range(19_000)),
    "one long key": lambda: HEAD + "k" * (MEBI - 100) + ": 1\n",
    "one long number": lambda: HEAD + "vars: {a: " + "9" * (MEBI - 100) + "}\n",
    "one long float": lambda: HEAD + "vars: {a: 1." + "9" * (MEBI - 100) + "}\n",
    "one long text": lambda: BRIDGE % ("tag: " + "x" * (MEBI - 200)),
    "a long wrong text": lambda: BRIDGE % ("subnet: " + "x" * (MEBI - 200)),
    "long keys like one another": lambda: BRIDGE % ", ".join(f"{'subnet' * 100}{i}: 1" for i in range(1500)),
    "unknown options": lambda: BRIDGE % ", ".join(f"mtu{i}: 1" for i in range(9000)),
    "many list entries": lambda: BRIDGE % ("keys: [" + ", ".join(f"{{a: {i}}}" for i in range(6000)) + "]"),
    "many long references": lambda: (
        HEAD + f"vars: {{a: {'x' * 60_000}}}\ncomponents: {{runtime: [" + "'${a}', " * 15_000 + "]}\n"
    ),
    "unknown references": lambda: BRIDGE % ("tag: '" + "${nope} " * 100_000 + "'"),
    "many runtimes": lambda: HEAD + "components: {runtime: [" + ("runc, " * 19_000) + "]}\n",
    "many images": lambda: HEAD + "images: [" + ("a/b:c, " * 19_000) + "]\n",
    "aliases of text": lambda: f"a: &a {'x' * 500_000}\nb: [{'*a, ' * 19_000}]\n",
    "aliases of lists": lambda: (
        "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 200))
    ),
    "a deep chain of vars": lambda: (
        HEAD + "vars:\n  v0: x\n" + "".join(f"  v{i}: '${{v{i - 1}}}'\n" for i in range(1, 9000))
    ),
    "a deep chain of vars, backwards": lambda: (
        HEAD + "vars:\n" + "".join(f"  v{i}: '${{v{i + 1}}}'\n" for i in range(9000)) + "  v9000: x\n"
    ),
}


@pytest.mark.timeout(120)
def test_large_inputs_stay_within_bounds(tmp_path: Path) -> None:
    """All of them in one process of its own, whose memory the kernel measures."""
    for index, make in enumerate(LARGE.values()):
        (tmp_path / f"{index:03}.yaml").write_bytes(make().encode()[:MEBI])
    code = (
        "import re, sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path; from blueprint_kit import SmallRegistry\n"
        "from moby_py.blueprint import load; from moby_py.validation import validate\n"
        "import jsonschema, jsonschema.validators\n"  # its import is no input's fault
        "for file in sorted(Path(sys.argv[2]).glob('*.yaml')):\n"
        "    began = time.process_time(); loaded = load(file, environ={}); told = list(loaded.problems)\n"
        "    if loaded.blueprint: told += validate(loaded.blueprint, SmallRegistry())[1]\n"
        "    took = time.process_time() - began\n"
        # not ru_maxrss: after vfork and exec that begins with the peak of whoever started the process
        "    peak = int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) // 1024\n"
        "    longest = max((len(str(p)) for p in told), default=0)\n"
        "    print(int(file.stem), f'{took:.3f}', peak, len(told), longest)\n"
    )
    argv = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": "0"})
    assert done.returncode == 0, done.stderr
    names = list(LARGE)
    rows = [line.split() for line in done.stdout.splitlines()]
    assert len(rows) == len(names)
    slow = {names[int(index)]: float(took) for index, took, *_ in rows if float(took) > SECONDS}
    large = {names[int(row[0])]: int(row[2]) for row in rows if int(row[2]) > 200}
    wordy = {names[int(row[0])]: int(row[4]) for row in rows if int(row[4]) > 5000}
    unproblematic = [names[int(row[0])] for row in rows if row[3] == "0"]
    assert (slow, large, wordy, unproblematic) == ({}, {}, {}, ["one long text"])
