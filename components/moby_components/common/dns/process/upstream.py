"""Whom to ask about names that are not ours."""

from __future__ import annotations

import os
import socket

PATH = "/etc/resolv.conf"
MOST = 3  # resolv.conf(5): MAXNS
LARGEST_FILE = 64 << 10

Server = tuple[int, tuple[str | int, ...]]
"""Address family and socket address."""


def server(text: str) -> Server | None:
    """A resolver's address at port 53, "fe80::1%eth0" included; None when it is not one."""
    address, _, zone = text.partition("%")
    try:
        if ":" not in address:
            socket.inet_pton(socket.AF_INET, address)
            return socket.AF_INET, (address, 53)
        socket.inet_pton(socket.AF_INET6, address)
        scope = 0
        if zone:
            scope = int(zone) if zone.isdigit() else socket.if_nametoindex(zone)
        return socket.AF_INET6, (address, 53, 0, scope)
    except OSError:
        return None


def parse(text: str) -> tuple[Server, ...]:
    """The `nameserver` lines of a resolv.conf, the first three as the C library takes them."""
    found: list[Server] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            one = server(words[1])
            if one is not None and len(found) < MOST:
                found.append(one)
    return tuple(found)


class Host:
    """The host's resolvers, read again when the file was changed: one stat per forwarded query."""

    def __init__(self, path: str = PATH) -> None:
        self._path = path
        self._seen: tuple[int, ...] = ()
        self._servers: tuple[Server, ...] = ()

    def servers(self) -> tuple[Server, ...]:
        """() when there is no file or nothing in it."""
        try:
            status = os.stat(self._path)
            seen = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            if seen != self._seen:
                with open(self._path, encoding="utf-8", errors="replace") as file:
                    self._servers = parse(file.read(LARGEST_FILE))
                self._seen = seen
        except OSError:
            self._seen, self._servers = (), ()
        return self._servers
