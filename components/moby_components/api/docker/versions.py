"""API versions: which prefixes are served, and what is said to the others.

CLI 29.0 refuses servers below 1.44, and 1.24 is the oldest a current CLI falls back to; 1.47 is the
newest whose shapes are served.
"""

from __future__ import annotations

import re

from moby_py.errors import InvalidArgument

Version = tuple[int, int]

OLDEST: Version = (1, 24)
NEWEST: Version = (1, 47)
_PREFIX = re.compile(r"/v(\d{1,3})\.(\d{1,3})(?=/)")


def show(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


def split(path: str) -> tuple[Version, str]:
    """("/v1.41/info") -> ((1, 41), "/info"). No prefix means the newest. Raises InvalidArgument."""
    found = _PREFIX.match(path)
    if not found:
        return NEWEST, path
    version = (int(found[1]), int(found[2]))
    if version > NEWEST:
        raise InvalidArgument(
            f"client version {show(version)} is too new. Maximum supported API version is {show(NEWEST)}"
        )
    if version < OLDEST:
        raise InvalidArgument(
            f"client version {show(version)} is too old. Minimum supported API version is "
            f"{show(OLDEST)}, please upgrade your client to a newer version"
        )
    return version, path[found.end() :]
