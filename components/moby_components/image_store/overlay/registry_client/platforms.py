"""Which image of an index runs on a platform: containerd's rules for names, variants and fallbacks."""

from __future__ import annotations

import platform as host_platform
from collections.abc import Sequence
from dataclasses import dataclass

from moby_py.errors import InvalidArgument

_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "i386": ("386", ""),
    "i486": ("386", ""),
    "i586": ("386", ""),
    "i686": ("386", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "armv8l": ("arm", "v8"),
    "riscv64gc": ("riscv64", ""),
}
_DEFAULT_VARIANT = {"arm64": "v8", "arm": "v7", "amd64": "v1"}
_FEWEST = {"arm": 5, "arm64": 8, "amd64": 1}


@dataclass(frozen=True, slots=True)
class Platform:
    """Normalised: default variants are written out ("arm64" is "v8", "amd64" is "v1")."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        shown = "" if self.variant == _DEFAULT_VARIANT.get(self.architecture) else self.variant
        if self.architecture == "arm":
            shown = self.variant
        return "/".join(filter(None, (self.os, self.architecture, shown)))


def make(os: str, architecture: str, variant: str = "") -> Platform:
    """Aliases resolved, in lower case."""
    architecture, implied = _ARCHITECTURES.get(architecture.lower(), (architecture.lower(), ""))
    variant = variant.lower() or implied
    if variant and variant.isdecimal():
        variant = f"v{variant}"
    variant = variant or _DEFAULT_VARIANT.get(architecture, "")
    return Platform({"macos": "darwin"}.get(os.lower(), os.lower()), architecture, variant)


def parse_platform(text: str) -> Platform:
    """ "linux/arm/v7", "arm64", "" for this host. Raises InvalidArgument."""
    parts = text.split("/") if text else ["linux", host_platform.machine()]
    if len(parts) == 1:
        known = parts[0].lower()
        parts = [known, host_platform.machine()] if known in ("linux", "windows") else ["linux", known]
    if not 2 <= len(parts) <= 3 or not all(
        p and p.replace("_", "").replace("-", "").isalnum() for p in parts
    ):
        raise InvalidArgument(
            f'"{text}" is not a platform - it has the form OS/ARCHITECTURE[/VARIANT]',
            hint="for example linux/arm64 or linux/arm/v7",
        )
    return make(*parts)


def acceptable(wanted: Platform) -> list[Platform]:
    """What runs on `wanted`, best first: its own variant, the older ones, the 32-bit cousins."""
    arch, number = wanted.architecture, wanted.variant.removeprefix("v")
    found = [wanted]
    if arch in _FEWEST and number.isdecimal():
        lower = range(int(number) - 1, _FEWEST[arch] - 1, -1)
        found += [Platform(wanted.os, arch, f"v{n}") for n in lower]
    if arch == "arm64":
        found += [Platform(wanted.os, "arm", f"v{n}") for n in (8, 7, 6, 5)]
    elif arch == "amd64":
        found.append(Platform(wanted.os, "386"))
    return found


def choose(wanted: Platform, offered: Sequence[Platform | None]) -> int | None:
    """Index of the best offer; an offer without a platform (None) is taken when nothing else fits."""
    for candidate in acceptable(wanted):
        if candidate in offered:
            return offered.index(candidate)
    return offered.index(None) if None in offered else None
