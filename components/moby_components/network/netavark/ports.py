"""Host ports of published containers: taken here before netavark writes its rules.

A rule of iptables claims no port: two containers could both publish 8080, and a server on the host
could bind it and never hear anything. So each published port is held by a socket of the daemon, as
Podman does. The sockets are bound and deaf: a connection that passes the rules by (to [::1]) is refused
at once instead of hanging in a queue that nobody reads.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterable, Sequence
from dataclasses import replace

from moby_py.errors import Conflict, InvalidArgument, RuntimeFailed
from moby_py.model import PortBinding

_KIND = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
_ATTEMPTS = 32
_ANY4, _ANY6 = "0.0.0.0", "::"  # noqa: S104 - published on every address unless the user says otherwise
Key = tuple[str, str]


class Ports:
    """Who holds which host port: one set of sockets for each (container, network)."""

    def __init__(self) -> None:
        self._held: dict[Key, list[socket.socket]] = {}

    def take(self, owner: Key, wanted: Iterable[PortBinding]) -> tuple[PortBinding, ...]:
        """The bindings with their real host ports, all of them held, or none: Conflict in Docker's
        words where one is taken. What the owner held before is let go first."""
        self.release(owner)
        held: list[socket.socket] = []
        try:
            taken = tuple(_take(binding, held) for binding in wanted)
        except BaseException:
            _close(held)
            raise
        if held:
            self._held[owner] = held
        return taken

    def release(self, owner: Key) -> None:
        """Let go. Idempotent."""
        _close(self._held.pop(owner, []))

    def close(self) -> None:
        """Let go of everything."""
        for owner in list(self._held):
            self.release(owner)


def _close(sockets: Sequence[socket.socket]) -> None:
    for held in sockets:
        held.close()


def _take(binding: PortBinding, held: list[socket.socket]) -> PortBinding:
    kind = _KIND.get(binding.protocol)
    if kind is None:
        if not binding.host_port:
            raise InvalidArgument(
                f"port {binding.container_port}/{binding.protocol} needs a host port of its own"
            )
        return replace(binding, host_port_end=0)
    addresses = [binding.host_ip] if binding.host_ip else [_ANY4, *([_ANY6] if _has_ipv6() else [])]
    numbers = list(binding.host_ports) if binding.host_port else [0] * _ATTEMPTS
    for number in numbers:
        made: list[socket.socket] = []
        port = number
        try:
            for address in addresses:
                made.append(_hold(kind, address, port))
                port = made[-1].getsockname()[1]
        except OSError as error:
            _close(made)
            if len(numbers) > 1 and error.errno == errno.EADDRINUSE:
                continue  # another number may be free, in both families
            raise _refusal(binding, error) from error
        held += made
        return replace(binding, host_port=port, host_port_end=0)
    if not binding.host_port:
        raise RuntimeFailed(f"no free host port for {binding.container_port}/{binding.protocol}")
    asked = f"{_shown(addresses[0])}:{numbers[0]}-{numbers[-1]}"
    raise Conflict(f"Bind for {asked} failed: all ports are allocated", hint="publish on other host ports")


def _hold(kind: int, address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    held = socket.socket(family, kind)
    try:
        if family == socket.AF_INET6:
            held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            # Connections in TIME_WAIT of a server that is gone must not count. listen() then tells
            # for certain whether anyone else has the port, and shutdown() makes the socket deaf.
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((address, port))
        if kind == socket.SOCK_STREAM:
            held.listen(1)
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            with contextlib.suppress(OSError):
                held.shutdown(socket.SHUT_RD)
    except BaseException:
        held.close()
        raise
    return held


def _refusal(binding: PortBinding, error: OSError) -> Exception:
    address = binding.host_ip or _ANY4
    shown = f"{_shown(address)}:{binding.host_port}"
    if error.errno == errno.EADDRINUSE:
        return Conflict(
            f"Bind for {shown} failed: port is already allocated",
            hint="publish another host port, or stop what holds this one",
        )
    return RuntimeFailed(f"Bind for {shown} failed: {(error.strerror or str(error)).lower()}")


def _shown(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
