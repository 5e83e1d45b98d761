"""Host ports: who has which, held by sockets that are bound and never listen.

The portmap plugin rewrites packets before a socket sees them, and takes a port whoever has it. So each
published port is bound here too: a taken one is told, nobody else gets ours, and the kernel chooses
the free ones.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Hashable, Sequence
from dataclasses import replace

from moby_py.errors import Conflict, InvalidArgument
from moby_py.model import PortBinding

_TYPES = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
_TRIES = 16


class Ports:
    """Reservations by owner. Not thread-safe; no call blocks."""

    def __init__(self) -> None:
        self._held: dict[Hashable, list[socket.socket]] = {}

    def take(self, owner: Hashable, wanted: Sequence[PortBinding], *, ipv6: bool) -> tuple[PortBinding, ...]:
        """Bind all or none. A wish without address becomes one on 0.0.0.0, and one on :: where the
        container has IPv6; one without port gets a free one.

        Raises Conflict (taken), InvalidArgument (no address of this host).
        """
        self.release(owner)
        held: list[socket.socket] = []
        taken: list[PortBinding] = []
        try:
            for binding in wanted:
                taken += _take(binding, ipv6, held)
        except BaseException:
            _close(held)
            raise
        if held:
            self._held[owner] = held
        return tuple(taken)

    def release(self, owner: Hashable) -> None:
        """Idempotent."""
        _close(self._held.pop(owner, []))

    def close(self) -> None:
        for owner in list(self._held):
            self.release(owner)


def _take(binding: PortBinding, ipv6: bool, held: list[socket.socket]) -> list[PortBinding]:
    hosts = [binding.host_ip] if binding.host_ip else ["0.0.0.0", "::"] if ipv6 else ["0.0.0.0"]  # noqa: S104
    for attempt in range(_TRIES):
        mine: list[socket.socket] = []
        port, found = binding.host_port, []
        try:
            for host in hosts:
                port = _bind(host, port, binding.protocol, mine)
                found.append(replace(binding, host_ip=host, host_port=port))
        except Conflict:
            _close(mine)
            if binding.host_port or attempt == _TRIES - 1:
                raise
            continue  # the port that is free for IPv4 is taken for IPv6: another one
        held += mine
        return found
    raise Conflict("no free host port found")


def _bind(host: str, port: int, protocol: str, held: list[socket.socket]) -> int:
    kind = _TYPES.get(protocol)
    if kind is None:
        if port:
            return port  # sctp: kernels without it have no such socket either
        raise InvalidArgument(f"cannot choose a host port for {protocol} - name one")
    family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    sock = socket.socket(family, kind | socket.SOCK_CLOEXEC)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if error.errno == errno.EADDRINUSE:
            raise Conflict(
                f"Bind for {shown} failed: port is already allocated",
                hint="publish another host port, or stop what uses it (ss -ltunp)",
            ) from None
        raise InvalidArgument(
            f"Bind for {shown} failed: {(error.strerror or str(error)).lower()}",
            hint="publish on an address of this host",
        ) from None
    held.append(sock)
    return int(sock.getsockname()[1])


def _close(sockets: Sequence[socket.socket]) -> None:
    for sock in sockets:
        sock.close()
