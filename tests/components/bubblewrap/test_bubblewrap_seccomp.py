"""The compiled filters, judged by the kernel: a child process loads one and makes system calls."""

from __future__ import annotations

import errno
import json
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from moby_components.common.ocispec import HostFacts
from moby_components.common.ocispec.seccomp import build_seccomp
from moby_components.runtime.bubblewrap.monitor import __file__ as monitor
from moby_components.runtime.bubblewrap.seccomp import compile_profile
from moby_components.runtime.bubblewrap.seccomp.compile import _numbers
from moby_py.errors import InvalidArgument
from moby_py.model import ContainerSpec, ProcessSpec

pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "aarch64"), reason="needs a table of this architecture's numbers"
)
CHILD = """
import ctypes, json, sys
sys.path.insert(0, sys.argv[1])
from monitor import kernel
calls = json.loads(sys.stdin.read())
libc = ctypes.CDLL(None, use_errno=True)
if calls["program"]:
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.seccomp(bytes.fromhex(calls["program"]))
out = []
for number, *arguments in calls["calls"]:
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_ulong(a) for a in arguments))
    out.append(ctypes.get_errno() if result == -1 else 0)
print(json.dumps(out))
"""


def number(name: str) -> int:
    return _numbers()[platform.machine()][name]


def try_calls(program: bytes, *calls: tuple[Any, ...]) -> list[int]:
    """errno of each call (0: it was let through and worked)."""
    rows = [[number(c[0]) if isinstance(c[0], str) else c[0], *c[1:]] for c in calls]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, monitor.rpartition("/monitor/")[0]],
        input=json.dumps({"program": program.hex(), "calls": rows}),
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    result: list[int] = json.loads(done.stdout)
    return result


def default_profile(*capabilities: str) -> bytes:
    process = ProcessSpec(args=("x",), capabilities=capabilities)
    spec = ContainerSpec(id="0" * 64, name="x", image="x", image_id="x", process=process)
    profile = build_seccomp(spec, HostFacts.detect(), lambda _: None)
    assert profile is not None
    return compile_profile(profile)


def rule(*names: str, action: str = "SCMP_ACT_ERRNO", value: int = 28, args: Any = None) -> dict[str, Any]:
    return {"names": list(names), "action": action, "errnoRet": value, "args": args or []}


def allowing_all_but(*rules: dict[str, Any]) -> bytes:
    return compile_profile({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": list(rules)})


def argument(index: int, op: str, value: int, second: int = 0) -> dict[str, Any]:
    return {"index": index, "op": f"SCMP_CMP_{op}", "value": value, "valueTwo": second}


def test_the_profile_of_the_field_on_real_calls() -> None:
    bad = 0xFFFFFFFF
    found = try_calls(
        default_profile("CAP_CHOWN"),
        ("getpid",),
        ("bpf", bad, 0, 0),  # needs CAP_SYS_ADMIN
        ("kexec_load", 0, 0, 0, 0),
        ("reboot", 0, 0, 0, 0),
        ("personality", 0xFFFFFFFF),  # only asks
        ("personality", 0x0040000),  # ADDR_NO_RANDOMIZE is not among the allowed
        (1000,),  # newer than anything the profile knows
    )
    assert found[0] == 0
    assert found[1:3] == [errno.EPERM, errno.EPERM]
    assert found[3] in (errno.EPERM, errno.EINVAL)  # by profile: needs CAP_SYS_BOOT
    assert found[4] == 0
    assert found[5] == found[6] == errno.ENOSYS  # the profile's answer to what it does not name


def test_capabilities_open_what_needs_them() -> None:
    invalid = ("bpf", 0xFFFFFFFF, 0, 0)
    assert try_calls(default_profile("CAP_SYS_ADMIN"), invalid) != [errno.EPERM]
    netlink_audit = ("socket", 16, 3, 9)
    assert try_calls(default_profile("CAP_CHOWN"), netlink_audit) == [errno.EINVAL]
    assert try_calls(default_profile("CAP_AUDIT_WRITE"), netlink_audit) != [errno.EINVAL]


@pytest.mark.parametrize(
    ("op", "value", "second", "hits", "misses"),
    [
        ("EQ", 5, 0, [5], [4, 6, 5 + 2**32]),
        ("EQ", 5 + 2**33, 0, [5 + 2**33], [5, 5 + 2**32]),
        ("NE", 5, 0, [4, 6, 5 + 2**32], [5]),
        ("GT", 2**32 + 5, 0, [2**32 + 6, 2**33], [2**32 + 5, 7, 2**32 + 4]),
        ("GE", 2**32 + 5, 0, [2**32 + 5, 2**33], [2**32 + 4, 7]),
        ("LT", 2**32 + 5, 0, [2**32 + 4, 7], [2**32 + 5, 2**33]),
        ("LE", 2**32 + 5, 0, [2**32 + 5, 7], [2**32 + 6, 2**33]),
        ("MASKED_EQ", 0xF0, 0x20, [0x20, 0x2F, 0x12E], [0x30, 0, 0xFF]),
        ("MASKED_EQ", 0xF << 36, 0x2 << 36, [0x2 << 36, (0x2 << 36) + 7], [0x3 << 36, 2]),
    ],
)
def test_conditions_compare_all_64_bits(op: str, value: int, second: int, hits: Any, misses: Any) -> None:
    # getpid ignores its arguments, so a call that is let through always works.
    program = allowing_all_but(rule("getpid", args=[argument(3, op, value, second)]))
    calls = [("getpid", 0, 0, 0, given) for given in (*hits, *misses)]
    assert try_calls(program, *calls) == [28] * len(hits) + [0] * len(misses)


def test_conditions_of_one_rule_must_all_hold_and_rules_are_alternatives() -> None:
    both = rule("getpid", args=[argument(0, "EQ", 1), argument(1, "EQ", 2)])
    twice = rule("getppid", args=[argument(0, "EQ", 1), argument(0, "EQ", 2)])
    fallback = rule("getuid", value=5, args=[argument(0, "EQ", 7)])
    program = allowing_all_but(both, twice, fallback, rule("getuid", value=6))
    assert try_calls(
        program,
        ("getpid", 1, 2), ("getpid", 1, 3), ("getpid", 0, 2),
        ("getppid", 1), ("getppid", 2), ("getppid", 3),
        ("getuid", 7), ("getuid", 8),
    ) == [28, 0, 0, 28, 28, 0, 5, 6]  # fmt: skip


def test_a_long_program_jumps_far() -> None:
    numbers = _numbers()[platform.machine()]
    names = [*sorted({n for n in numbers if n.startswith("get")} - {"getrandom", "getuid"})[:24], "getuid"]
    rules = [
        rule(name, value=100 + place, args=[argument(i, "EQ", 12345 + i) for i in range(6)])
        for place, name in enumerate(names)
    ]
    rules += [rule(name, args=[argument(5, "EQ", value)]) for name in names for value in range(15)]
    program = allowing_all_but(*rules)
    assert len(program) // 8 > 2000
    hit = tuple(range(12345, 12351))
    calls = [("getpid", *hit), ("getuid", *hit), ("getpid",), ("getuid", 0, 0, 0, 0, 0, 14)]
    calls.append(("getuid", 0, 0, 0, 0, 0, 15))
    expected = [100 + names.index("getpid"), 100 + names.index("getuid"), 28, 28, 0]
    assert try_calls(program, *calls) == expected


@pytest.mark.parametrize(
    ("profile", "text"),
    [
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, "action 'SCMP_ACT_NOTIFY' is not supported"),
        ({}, "'defaultAction'"),
        (
            {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_S390X"]},
            "it names no architecture known here",
        ),
        (
            {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule("read", args=[argument(6, "EQ", 1)])]},
            "condition {'index': 6, 'op': 'SCMP_CMP_EQ', 'value': 1, 'valueTwo': 0} "
            "has no such operator or argument",
        ),
    ],
)
def test_profiles_that_cannot_be(profile: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        compile_profile(profile)
    assert caught.value.message == f"cannot compile the seccomp profile - {text}"


def test_too_long_for_the_kernel() -> None:
    conditions = [[argument(i, "EQ", v)] for i in range(6) for v in range(900)]
    rules = [rule("getpid", args=args) for args in conditions]
    with pytest.raises(InvalidArgument, match=r"instructions - the kernel takes 4096$"):
        allowing_all_but(*rules)


HEADER = Path(f"/usr/include/{platform.machine()}-linux-gnu/asm/unistd_64.h")


@pytest.mark.skipif(not HEADER.exists(), reason="needs the kernel's headers (linux-libc-dev)")
def test_numbers_agree_with_the_kernel_headers() -> None:
    theirs = {name: int(n) for name, n in re.findall(r"#define __NR_(\w+) (\d+)", HEADER.read_text())}
    ours = _numbers()[platform.machine()]
    assert {name: ours[name] for name in theirs if name in ours} == {
        n: theirs[n] for n in theirs if n in ours
    }
    assert len(theirs.keys() & ours.keys()) > 300
