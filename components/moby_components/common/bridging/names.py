"""Names of interfaces and tables: at most 15 bytes, recognisable as the platform's own."""

from __future__ import annotations

import base64
import hashlib
import re

_UNFIT = re.compile(r"[^A-Za-z0-9_.-]")


def table(platform: str, part: str = "") -> str:
    """Name of the platform's tables; `part` where it has several worlds."""
    return _UNFIT.sub("-", "-".join(word for word in ("moby-py", platform, part) if word))


def tag(table: str) -> str:
    """Five letters that stand for the platform in the names of its interfaces."""
    return _letters(table, 5)


def bridge(tag: str, network_id: str) -> str:
    return f"mb{tag}{_letters(network_id, 8)}"


def veth(tag: str, container_id: str, network_id: str) -> str:
    return f"{veths(tag)}{_letters(container_id + ' ' + network_id, 8)}"


def veths(tag: str) -> str:
    """How the names of all veths of the platform begin."""
    return f"mv{tag}"


def mac(text: str) -> str:
    """A locally administered address that is the same each time."""
    return "02:42:" + hashlib.sha256(text.encode()).digest()[:4].hex(":")


def _letters(text: str, count: int) -> str:
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()[:count]
