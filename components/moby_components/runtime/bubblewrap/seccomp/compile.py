"""Rules by name to a program: one section per architecture, a binary search over number ranges."""

from __future__ import annotations

import errno
import functools
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from moby_components.runtime.bubblewrap.seccomp.assemble import (
    ARCH,
    EQUAL,
    GREATER,
    GREATER_EQUAL,
    NUMBER,
    Program,
)
from moby_py.errors import InvalidArgument

_ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
_CARRY_ERRNO = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
_ENOSYS = _ACTIONS["SCMP_ACT_ERRNO"] | errno.ENOSYS

ARCHITECTURES = {
    "SCMP_ARCH_X86_64": ("x86_64", 0xC000003E),
    "SCMP_ARCH_X86": ("i386", 0x40000003),
    "SCMP_ARCH_AARCH64": ("aarch64", 0xC00000B7),
}
"""libseccomp's word -> (table of numbers, AUDIT_ARCH constant). A profile's other architectures are
left out: their system calls fail with ENOSYS."""
_X32 = 0x40000000
_ARGUMENTS = 6


@dataclass(frozen=True, slots=True)
class Condition:
    index: int
    value: int
    second: int
    op: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happens to one system call: the first group of conditions that all hold decides, else
    `otherwise`."""

    groups: tuple[tuple[tuple[Condition, ...], int], ...]
    otherwise: int


def compile_profile(profile: Mapping[str, Any]) -> bytes:
    """`profile` is linux.seccomp of the runtime specification. As libseccomp has it: rules of one
    name are alternatives; conditions of one rule must all hold, unless they name an argument twice,
    then each is an alternative (runc); a rule without conditions decides what they leave open. Calls
    newer than any that the profile names fail with ENOSYS, so that programs fall back (runc).

    Raises InvalidArgument for actions, operators or architectures that cannot be.
    """
    try:
        default = _action(profile["defaultAction"], profile.get("defaultErrnoRet"))
        rules = _rules(profile.get("syscalls") or (), default)
        wanted = [a for a in profile.get("architectures") or _native() if a in ARCHITECTURES]
        if not wanted:
            raise InvalidArgument("cannot compile the seccomp profile - it names no architecture known here")
        program = Program()
        program.load(ARCH)
        for word in wanted:
            table, number = ARCHITECTURES[word]
            after = program.new_label()
            program.go_unless(EQUAL, number, after)
            _section(program, _numbers()[table], rules, default, x32=table == "x86_64")
            program.label(after)
        program.answer(_ENOSYS)
        return program.encode()
    except (KeyError, ValueError, TypeError) as error:
        raise InvalidArgument(f"cannot compile the seccomp profile - {error}") from error


@functools.cache
def _numbers() -> dict[str, dict[str, int]]:
    tables: dict[str, dict[str, int]] = json.loads((files(__package__) / "numbers.json").read_text("utf-8"))
    return tables


def _native() -> list[str]:
    return [word for word, (table, _) in ARCHITECTURES.items() if table == platform.machine()]


def _action(name: str, value: int | None) -> int:
    if name not in _ACTIONS:
        raise InvalidArgument(f"cannot compile the seccomp profile - action {name!r} is not supported")
    if name not in _CARRY_ERRNO:
        return _ACTIONS[name]
    return _ACTIONS[name] | ((errno.EPERM if value is None else int(value)) & 0xFFFF)


def _rules(syscalls: Sequence[Mapping[str, Any]], default: int) -> dict[str, Verdict]:
    groups: dict[str, list[tuple[tuple[Condition, ...], int]]] = {}
    plain: dict[str, int] = {}
    for rule in syscalls:
        action = _action(rule["action"], rule.get("errnoRet"))
        if action == default:
            groups |= {name: groups.get(name, []) for name in rule["names"]}
            continue
        alternatives = _alternatives([_condition(a) for a in rule.get("args") or ()])
        for name in rule["names"]:
            mine = groups.setdefault(name, [])
            if alternatives:
                mine += [(conditions, action) for conditions in alternatives]
            else:
                plain.setdefault(name, action)
    return {name: Verdict(tuple(found), plain.get(name, default)) for name, found in groups.items()}


def _alternatives(conditions: list[Condition]) -> list[tuple[Condition, ...]]:
    if len({condition.index for condition in conditions}) < len(conditions):
        return [(condition,) for condition in conditions]
    return [tuple(conditions)] if conditions else []


def _condition(argument: Mapping[str, Any]) -> Condition:
    index, op = int(argument["index"]), str(argument["op"])
    if op not in _OPERATORS or not 0 <= index < _ARGUMENTS:
        raise ValueError(f"condition {dict(argument)} has no such operator or argument")
    word = 2**64 - 1
    return Condition(index, int(argument["value"]) & word, int(argument.get("valueTwo") or 0) & word, op)


def _section(
    program: Program, table: Mapping[str, int], rules: Mapping[str, Verdict], default: int, *, x32: bool
) -> None:
    nothing = Verdict((), default)
    by_number = {table[name]: verdict for name, verdict in rules.items() if name in table}
    newest = max(by_number, default=0)
    # Ranges of neighbouring numbers with one verdict: [(first number, verdict)].
    ranges: list[tuple[int, Verdict]] = []
    for number in range(newest + 1):
        verdict = by_number.get(number, nothing)
        if not ranges or ranges[-1][1] != verdict:
            ranges.append((number, verdict))
    unknown = _ENOSYS if default >> 16 == _ACTIONS["SCMP_ACT_ERRNO"] >> 16 else default
    ranges.append((newest + 1, Verdict((), unknown)))
    if x32:
        ranges.append((_X32, nothing))
    labels = {verdict: program.new_label() for verdict in dict.fromkeys(v for _, v in ranges)}
    program.load(NUMBER)
    _search(program, ranges, labels)
    for verdict, label in labels.items():
        program.label(label)
        _decide(program, verdict)


def _search(program: Program, ranges: list[tuple[int, Verdict]], labels: Mapping[Verdict, str]) -> None:
    if len(ranges) == 1:
        program.go(labels[ranges[0][1]])
        return
    middle = len(ranges) // 2
    upper = program.new_label()
    program.go_if(GREATER_EQUAL, ranges[middle][0], upper)
    _search(program, ranges[:middle], labels)
    program.label(upper)
    _search(program, ranges[middle:], labels)


def _decide(program: Program, verdict: Verdict) -> None:
    for conditions, action in verdict.groups:
        following = program.new_label()
        for condition in conditions:
            _OPERATORS[condition.op](program, condition, following)
        program.answer(action)
        program.label(following)
    program.answer(verdict.otherwise)


def _equal(program: Program, c: Condition, no: str) -> None:
    for high in (True, False):
        program.load_argument(c.index, high=high)
        program.go_unless(EQUAL, c.value >> 32 if high else c.value & 0xFFFFFFFF, no)


def _not_equal(program: Program, c: Condition, no: str) -> None:
    yes = program.new_label()
    program.load_argument(c.index, high=True)
    program.go_unless(EQUAL, c.value >> 32, yes)
    program.load_argument(c.index, high=False)
    program.go_if(EQUAL, c.value & 0xFFFFFFFF, no)
    program.label(yes)


def _masked_equal(program: Program, c: Condition, no: str) -> None:
    """(argument & value) == valueTwo."""
    for high in (True, False):
        shift = 32 if high else 0
        program.load_argument(c.index, high=high)
        program.mask(c.value >> shift & 0xFFFFFFFF)
        program.go_unless(EQUAL, c.second >> shift & 0xFFFFFFFF, no)


def _above(program: Program, c: Condition, low: int, *, yes: str, no: str) -> None:
    """Go to `yes` when the argument is above the value by `low`'s comparison of the low halves."""
    program.load_argument(c.index, high=True)
    program.go_if(GREATER, c.value >> 32, yes)
    program.go_unless(EQUAL, c.value >> 32, no)
    program.load_argument(c.index, high=False)
    program.go_if(low, c.value & 0xFFFFFFFF, yes)
    program.go(no)


def _ordered(low: int, *, wanted: bool) -> Any:
    def emit(program: Program, c: Condition, no: str) -> None:
        on = program.new_label()
        _above(program, c, low, yes=on if wanted else no, no=no if wanted else on)
        program.label(on)

    return emit


_OPERATORS: dict[str, Any] = {
    "SCMP_CMP_EQ": _equal,
    "SCMP_CMP_NE": _not_equal,
    "SCMP_CMP_MASKED_EQ": _masked_equal,
    "SCMP_CMP_GT": _ordered(GREATER, wanted=True),
    "SCMP_CMP_GE": _ordered(GREATER_EQUAL, wanted=True),
    "SCMP_CMP_LE": _ordered(GREATER, wanted=False),
    "SCMP_CMP_LT": _ordered(GREATER_EQUAL, wanted=False),
}
