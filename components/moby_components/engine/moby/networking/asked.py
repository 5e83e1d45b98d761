"""What POST /networks/create may say: names and shapes, checked before anything is made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from moby_py.errors import InvalidArgument, NotFound, PermissionDenied

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_TEXTS = ("Subnet", "IPRange", "Gateway")
LARGEST_MAP = 256
ALONE = ("host", "null")
"""Driver words of predefined networks, of which there is one each."""


def check_name(name: str) -> None:
    """Raises InvalidArgument; PermissionDenied for a word that already means something."""
    if not _NAME.fullmatch(name):
        raise InvalidArgument(
            f"invalid network name: {name[:200]!r} - use letters, digits, and inside also '_', '.' and '-'"
        )
    if name in ("default", "container"):
        raise PermissionDenied(f"operation is not permitted on predefined {name} network")


def check_shape(ipam: object, options: object, labels: object) -> None:
    """Raises InvalidArgument for values of a kind that the API does not have."""
    _texts(options, "Options")
    _texts(labels, "Labels")
    if ipam is None:
        return
    if not isinstance(ipam, Mapping):
        raise InvalidArgument("invalid network config - IPAM is not an object")
    _texts(ipam.get("Options"), "IPAM.Options")
    configs = ipam.get("Config") or []
    if not isinstance(configs, list) or len(configs) > 16:
        raise InvalidArgument("invalid network config - IPAM.Config is not a list of at most 16 subnets")
    for config in configs:
        if not isinstance(config, Mapping):
            raise InvalidArgument("invalid network config - IPAM.Config holds something that is no object")
        for key in _TEXTS:
            if not isinstance(config.get(key) or "", str):
                raise InvalidArgument(f"invalid network config - IPAM.Config.{key} is not a text")
        _texts(config.get("AuxiliaryAddresses"), "IPAM.Config.AuxiliaryAddresses")


def check_ipam_driver(name: str) -> None:
    """Of a network whose addresses the engine gives out. Raises NotFound in Docker's words."""
    if name != "default":
        raise NotFound(
            f'error looking up plugin {name}: plugin "{name}" not found',
            hint="the addresses of this network come from the engine; leave --ipam-driver away",
        )


def config_of(ipam: Mapping[str, Any] | None) -> dict[str, Any]:
    """Docker's IPAM object with its three keys."""
    given = ipam or {}
    return {
        "Driver": given.get("Driver") or "default",
        "Options": dict(given.get("Options") or {}) or None,
        "Config": [
            {key: value for key, value in config.items() if value} for config in given.get("Config") or ()
        ],
    }


def _texts(value: object, what: str) -> None:
    if value is None:
        return
    if not isinstance(value, Mapping) or len(value) > LARGEST_MAP:
        raise InvalidArgument(
            f"invalid network config - {what} is not an object of at most {LARGEST_MAP} texts"
        )
    for key, text in value.items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise InvalidArgument(f"invalid network config - {what}.{key} is not a text")
