"""What this host has of what a platform needs: findings, each with its reason and its way out.

`check_host(wiring)` probes what the parts of a plan declare (`needs_for`), `host_facts()` looks at a
host without any plan. A finding is "ok", "warn" (the platform runs, something of it does not) or
"missing" (it would not run: `build` refuses, exit status 3).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from moby_py import binaries, probes
from moby_py.errors import HostError, PluginError
from moby_py.needs import Binary, Feature, Need

if TYPE_CHECKING:
    from moby_py.component import Component
    from moby_py.wiring import Part, Wiring

Status = Literal["ok", "warn", "missing"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`name` the program or feature; `what` was found; `why` it is wanted; `users` who wants it
    ("runtime/runc"), empty for facts about the host that concern everybody."""

    status: Status
    name: str
    what: str
    why: str = ""
    hint: str | None = None
    users: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        return {
            "status": self.status,
            "name": self.name,
            "what": self.what,
            "why": self.why,
            "hint": self.hint,
            "users": list(self.users),
        }


@dataclass(frozen=True, slots=True)
class FoundBinary:
    """A program as a part will use it: one line of platform.lock."""

    kind: str
    id: str
    name: str
    path: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class HostReport:
    findings: tuple[Finding, ...]
    binaries: tuple[FoundBinary, ...] = ()

    @property
    def missing(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.status == "missing")

    def require(self) -> None:
        """Raise HostError when something is missing; it names everything that is."""
        missing = self.missing
        if not missing:
            return
        lines = [f"{_wanted_by(f)}: {f.what}" for f in missing]
        hints = dict.fromkeys(f.hint for f in missing if f.hint)
        raise HostError(
            "this host lacks what the blueprint needs - " + "; ".join(lines), hint=" && ".join(hints) or None
        )


def check_host(wiring: Wiring) -> HostReport:
    """Probe the needs of every part. Raises PluginError when a part cannot say what it needs."""
    users: dict[Need, list[Part]] = {}
    for part in wiring.parts:
        for need in _needs(part.cls, part.options, part.key):
            users.setdefault(need, []).append(part)
    findings: list[Finding] = []
    found: list[FoundBinary] = []
    for need, parts in users.items():
        keys = tuple(part.key for part in parts)
        if isinstance(need, Binary):
            program = binaries.find(need)
            findings.append(_binary_finding(need, program, keys))
            if not program.problem:
                found += [
                    FoundBinary(p.kind, p.id, need.name, program.path, program.version, program.sha256)
                    for p in parts
                ]
        else:
            findings.append(_feature_finding(need, keys))
    return HostReport((*findings, *_general()), tuple(found))


def lacking(cls: type[Component], options: Mapping[str, Any]) -> str:
    """Why a component cannot run on this host with these options; "" when it can."""
    for need in _needs(cls, options, f"{cls.kind}/{cls.name}"):
        if need.optional:
            continue
        if isinstance(need, Binary):
            problem = binaries.find(need).problem
        else:
            probe = probes.FEATURES[need.name]()
            problem = "" if probe.ok else probe.what
        if problem:
            return problem
    return ""


def host_facts() -> HostReport:
    """Every probe there is, required by nobody: what does not work is a warning."""
    findings = []
    for name, probe in probes.FEATURES.items():
        result = probe()
        findings.append(Finding("ok" if result.ok else "warn", name, result.what, hint=result.hint))
    return HostReport((*findings, *_general()))


def _needs(cls: type[Component], options: Mapping[str, Any], key: str) -> tuple[Need, ...]:
    try:
        needs = tuple(cls.needs_for(options))
    except Exception as error:
        raise PluginError(f"{key}: it cannot say what it needs - {type(error).__name__}: {error}") from error
    for need in needs:
        if not isinstance(need, Binary | Feature) or (
            isinstance(need, Feature) and need.name not in probes.FEATURES
        ):
            known = ", ".join(probes.FEATURES)
            raise PluginError(f"{key}: it needs {need!r} - that is neither a Binary nor one of {known}")
    return needs


def _binary_finding(need: Binary, program: binaries.Program, users: tuple[str, ...]) -> Finding:
    if not program.problem:
        what = f"{need.name} {program.version}".strip() + f" at {program.path}"
        return Finding("ok", need.name, what, users=users)
    if need.optional:
        return Finding("warn", need.name, program.problem, "used when present", program.hint, users)
    return Finding("missing", need.name, program.problem, hint=program.hint, users=users)


def _feature_finding(need: Feature, users: tuple[str, ...]) -> Finding:
    probe = probes.FEATURES[need.name]()
    status: Status = "ok" if probe.ok else "warn" if need.optional else "missing"
    return Finding(status, need.name, probe.what, need.why, None if probe.ok else probe.hint, users)


def _general() -> Iterable[Finding]:
    import os

    checks = [("raising-limits", probes.raising_limits)]
    if os.geteuid() != 0:
        checks.append(("subordinate-ids", probes.subordinate_ids))
    for name, probe in checks:
        result = probe()
        yield Finding(
            "ok" if result.ok else "warn", name, result.what, hint=None if result.ok else result.hint
        )


def _wanted_by(finding: Finding) -> str:
    return ", ".join(finding.users) or finding.name
