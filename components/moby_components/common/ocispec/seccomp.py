"""Seccomp profiles: from Docker's form, with conditions, to the runtime spec's, without."""

from __future__ import annotations

import errno
import functools
import json
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

from moby_components.common.ocispec.host import HostFacts
from moby_py.errors import InvalidArgument, Unavailable
from moby_py.model import ContainerSpec

LARGEST_PROFILE = 1 << 20
_NATIVE = {
    "amd64": "SCMP_ARCH_X86_64",
    "arm64": "SCMP_ARCH_AARCH64",
    "arm": "SCMP_ARCH_ARM",
    "x86": "SCMP_ARCH_X86",
    "ppc64le": "SCMP_ARCH_PPC64LE",
    "s390x": "SCMP_ARCH_S390X",
    "riscv64": "SCMP_ARCH_RISCV64",
}
_KEPT = ("defaultAction", "defaultErrnoRet", "flags", "listenerPath", "listenerMetadata")


def build_seccomp(spec: ContainerSpec, host: HostFacts, warn: Callable[[str], None]) -> dict[str, Any] | None:
    """Spec: linux.seccomp; None: unconfined (asked for, or privileged).

    Raises `InvalidArgument` for a profile that cannot be read and `Unavailable` for one of the
    user's own on a kernel without seccomp.
    """
    if spec.seccomp == "unconfined" or (spec.privileged and spec.seccomp == "default"):
        return None
    if not host.seccomp:
        if spec.seccomp != "default":
            raise Unavailable("cannot apply the seccomp profile - this kernel has no seccomp")
        warn("containers run without a seccomp profile - this kernel has no seccomp")
        return None
    capabilities = frozenset(spec.process.capabilities) & host.bounding
    return _resolved("" if spec.seccomp == "default" else spec.seccomp, capabilities, host.arch, host.kernel)


@functools.lru_cache(maxsize=16)
def _resolved(text: str, capabilities: frozenset[str], arch: str, kernel: tuple[int, int]) -> dict[str, Any]:
    """Cached: hundreds of names, the same for nearly every container. Callers do not change it."""
    if len(text) > LARGEST_PROFILE:
        raise InvalidArgument(f"invalid seccomp profile - it has more than {LARGEST_PROFILE} characters")
    text = text or (files(__package__) / "profile" / "seccomp.json").read_text(encoding="utf-8")
    try:
        profile = json.loads(text)
        return resolve(profile, capabilities, arch, kernel)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise InvalidArgument(f"decoding seccomp profile failed - {error}") from error


def resolve(
    profile: Mapping[str, Any], capabilities: frozenset[str], arch: str, kernel: tuple[int, int]
) -> dict[str, Any]:
    """The rules that hold for these capabilities, this architecture and this kernel."""
    built = {key: profile[key] for key in _KEPT if key in profile}
    if not isinstance(built.get("defaultAction"), str):
        raise KeyError("defaultAction")
    if profile.get("architectures") and profile.get("archMap"):
        raise ValueError("both architectures and archMap are given")
    built["architectures"] = profile.get("architectures") or _architectures(profile, arch)
    built["syscalls"] = [
        _rule(rule)
        for rule in profile.get("syscalls") or ()
        if _holds(rule, capabilities=capabilities, arch=arch, kernel=kernel)
    ]
    return built


def _architectures(profile: Mapping[str, Any], arch: str) -> list[str]:
    for entry in profile.get("archMap") or ():
        if entry["architecture"] == _NATIVE.get(arch):
            return [entry["architecture"], *(entry.get("subArchitectures") or ())]
    return []


def _holds(
    rule: Mapping[str, Any], *, capabilities: frozenset[str], arch: str, kernel: tuple[int, int]
) -> bool:
    without, within = rule.get("excludes") or {}, rule.get("includes") or {}
    if arch in (without.get("arches") or ()) or capabilities & set(without.get("caps") or ()):
        return False
    if without.get("minKernel") and kernel >= _version(without["minKernel"]):
        return False
    if within.get("arches") and arch not in within["arches"]:
        return False
    if not capabilities >= set(within.get("caps") or ()):
        return False
    return not within.get("minKernel") or kernel >= _version(within["minKernel"])


def _version(text: str) -> tuple[int, int]:
    major, minor = text.split(".")[:2]
    return int(major), int(minor)


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    names = [*(rule.get("names") or ()), *([rule["name"]] if rule.get("name") else [])]
    if not names:
        raise ValueError("a rule names no system call")
    built: dict[str, Any] = {"names": names, "action": rule["action"]}
    if rule.get("args"):
        built["args"] = rule["args"]
    if "errnoRet" in rule:
        built["errnoRet"] = rule["errnoRet"]
    elif rule.get("errno"):
        built["errnoRet"] = getattr(errno, rule["errno"])
    return built
