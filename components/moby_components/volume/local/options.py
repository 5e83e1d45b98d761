"""`docker volume create -o KEY=VALUE`: which keys there are, and which need each other. Docker's words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from moby_py.errors import InvalidArgument

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_LONGEST = 255
_KNOWN = ("type", "o", "device", "size")
_WITH = {"device": ("type",), "type": ("device",), "o": ("device", "type")}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def check_name(name: str, root: Path) -> None:
    """Raises InvalidArgument for what cannot be a folder's name here."""
    if len(name) == 1:
        raise InvalidArgument(
            "volume name is too short, names should be at least two alphanumeric characters"
        )
    if not NAME.fullmatch(name):
        raise InvalidArgument(
            f'"{_shown(name)}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, '
            "use absolute path"
        )
    if len(name) > _LONGEST:
        path = root / name
        raise InvalidArgument(
            f"error while creating volume root path '{path}': mkdir {path}: file name too long"
        )


def check_options(options: Mapping[str, str]) -> None:
    """Raises InvalidArgument: unknown, alone, malformed, or not to be had on this host."""
    for key in sorted(options):
        if key not in _KNOWN:
            raise InvalidArgument(f'invalid option: "{key}"')
    if options.get("type") == "cifs" and _port(options.get("device", "")):
        raise InvalidArgument("port not allowed in CIFS device URL, include 'port' in 'o='")
    if "size" in options and size_of(options["size"]):
        raise InvalidArgument(
            "quota size requested but no quota support",
            hint="a tmpfs has a size: -o type=tmpfs -o device=tmpfs -o o=size=1g",
        )
    for key, wanted in _WITH.items():
        for other in wanted:
            if key in options and other not in options:
                raise InvalidArgument(f'missing required option: "{other}"')


def size_of(text: str) -> int:
    """Bytes, in Docker's units of 1024. Raises InvalidArgument.

    >>> size_of("1g"), size_of("1.5 KiB")
    (1073741824, 1536)
    """
    found = _SIZE.fullmatch(text)
    if found is None:
        raise InvalidArgument(f"invalid size: '{text}'")
    return int(float(found[1]) * 1024 ** _POWERS[found[2].lower()])


def needs_mount(options: Mapping[str, str]) -> bool:
    """Whether the data lies elsewhere than in the volume's own folder."""
    return bool(options.get("device") or options.get("type"))


def _port(device: str) -> bool:
    try:
        return urlsplit(device).port is not None
    except ValueError as error:
        raise InvalidArgument(f"error parsing mount device url: {error}") from None


def _shown(name: str) -> str:
    """As Go's %q: nothing in a message moves a terminal's cursor."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in name).replace('"', '\\"')
