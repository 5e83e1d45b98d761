"""A volume's own mount: what type, o and device say, given to mount(2)."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote_plus, urlsplit

from moby_components.common import mounts
from moby_py.errors import RuntimeFailed

_NETWORKED = ("nfs", "nfs4", "cifs")
_PASSWORD = re.compile(r"(?<![^,])(pass(?:word)?)=[^,]*")


def mount(options: Mapping[str, str], folder: Path) -> None:
    """Blocking, also for as long as a name server takes. Raises RuntimeFailed without a password."""
    kind, device = options.get("type", ""), options.get("device", "")
    words = [word for word in options.get("o", "").split(",") if word]
    if not device:
        raise RuntimeFailed("failed to mount local volume: missing device in volume options")
    if kind in _NETWORKED:
        device, words = _resolved(kind, device, words)
    bind = kind in ("bind", "none", "") or not {"bind", "rbind"}.isdisjoint(words)
    try:
        mounts.mount("bind" if bind else kind, device, folder, words)
    except OSError as error:
        said = f"mount {device}:{folder}, data: {','.join(words)}: {(error.strerror or str(error)).lower()}"
        said = _PASSWORD.sub(r"\1=********", said)
        raise RuntimeFailed(f"failed to mount local volume: {said}") from error


def _resolved(kind: str, device: str, words: list[str]) -> tuple[str, list[str]]:
    """The kernel knows no names: a server's becomes its address."""
    given = next((word for word in words if word.startswith("addr=")), "")
    if given:
        address = _address(given.removeprefix("addr="))
        return device, [f"addr={address}" if word == given else word for word in words]
    if kind == "cifs":
        server = urlsplit(device).hostname
        if server:
            return unquote_plus(device.replace(server, _address(server), 1)), words
    return device, words


def _address(server: str) -> str:
    try:
        return str(ipaddress.ip_address(server))
    except ValueError:
        pass
    try:
        return str(socket.getaddrinfo(server, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise RuntimeFailed(
            f"error resolving passed in network volume address: lookup {server}: {error.strerror}"
        ) from None
