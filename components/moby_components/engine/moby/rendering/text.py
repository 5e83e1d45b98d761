"""Texts that no system call can take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moby_py.errors import InvalidArgument

_FREE = frozenset({"Labels"})
"""Never given to the kernel."""


def refuse_nul(value: Any, where: str = "") -> None:
    """Raises InvalidArgument naming the field. Some runtimes cut such a text short, silently: an
    argument or a variable would be another than the one asked for."""
    if isinstance(value, str):
        if "\0" in value:
            raise InvalidArgument(f"invalid {where} - it has a NUL byte in it")
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in _FREE:
                refuse_nul(key, where)
                refuse_nul(inner, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list | tuple):
        for inner in value:
            refuse_nul(inner, where)
