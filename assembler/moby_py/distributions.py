"""Installed Python distributions and what they depend on, from their metadata files.

`importlib.metadata` parses each METADATA as a mail with its whole README; only the head of the file
is needed here, and it is read 25 times per build.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import metadata

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def closure(names: Iterable[str]) -> dict[str, str]:
    """name -> version of these distributions and all they require, sorted; those that are not
    installed (another platform's, an extra's) are left out."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if normalised(name) in seen:
            continue
        seen.add(normalised(name))
        facts = _head(name)
        if facts is None:
            continue
        own_name, version, requires = facts
        found[own_name] = version
        waiting += requires
    return dict(sorted(found.items(), key=lambda item: (normalised(item[0]), item[0])))


def normalised(name: str) -> str:
    """PEP 503: moby_py, Moby-Py and moby.py are one distribution."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _head(name: str) -> tuple[str, str, list[str]] | None:
    try:
        distribution = metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        return None
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    own_name, version, requires = name, "", []
    for line in text.split("\n\n", 1)[0].splitlines():
        key, _, value = line.partition(": ")
        if key == "Name":
            own_name = value.strip()
        elif key == "Version":
            version = value.strip()
        elif key == "Requires-Dist" and "extra ==" not in value.replace("extra==", "extra =="):
            match = NAME.match(value)
            if match:
                requires.append(match.group())
    return own_name, version, requires
