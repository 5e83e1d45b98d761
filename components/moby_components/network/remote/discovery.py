"""Where plugins are: sockets and spec files in plugin directories, as Docker looks for them.

NAME.sock, NAME/NAME.sock    a unix socket
NAME.spec                    one line: unix:///run/weave.sock or tcp://127.0.0.1:6783
NAME.json                    {"Name", "Addr", "TLSConfig": {"CAFile", "CertFile", "KeyFile", ...}}
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DOCKERS = (Path("/run/docker/plugins"), Path("/etc/docker/plugins"), Path("/usr/lib/docker/plugins"))
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_LARGEST = 1 << 16


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin's name and where it listens: `socket`, or `url` (http or https) with TLS files."""

    name: str
    socket: str = ""
    url: str = ""
    tls: Mapping[str, Any] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"unix://{self.socket}" if self.socket else self.url


def find(name: str, folders: Sequence[Path]) -> Plugin | None:
    """The plugin of that name, the first folder's first; None where there is none. A name that is no
    file name is nobody's. A spec file that cannot be read or makes no sense counts as absent."""
    if not _NAME.fullmatch(name):
        return None
    for folder in folders:
        for path in (folder / f"{name}.sock", folder / name / f"{name}.sock"):
            if _is_socket(path):
                return Plugin(name, socket=str(path))
        for suffix, read in ((".spec", _spec), (".json", _json)):
            plugin = read(name, folder / f"{name}{suffix}")
            if plugin is not None:
                return plugin
    return None


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST).decode()
    except (OSError, ValueError):
        return ""


def _spec(name: str, path: Path) -> Plugin | None:
    return _at(name, _text(path).strip(), {})


def _json(name: str, path: Path) -> Plugin | None:
    try:
        data = json.loads(_text(path))
        tls = data.get("TLSConfig") or {}
        return _at(str(data.get("Name") or name), str(data["Addr"]), tls if isinstance(tls, dict) else {})
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _at(name: str, address: str, tls: Mapping[str, Any]) -> Plugin | None:
    scheme, found, rest = address.partition("://")
    if not found or not rest or any(c.isspace() for c in address):
        return None
    if scheme == "unix":
        return Plugin(name, socket=rest)
    if scheme == "tcp":
        return Plugin(name, url=f"{'https' if tls else 'http'}://{rest}", tls=tls)
    return Plugin(name, url=address.rstrip("/"), tls=tls) if scheme in ("http", "https") else None
