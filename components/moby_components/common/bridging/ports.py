"""Published ports: taken from the host for as long as they are published.

The rules turn packets to the container before they reach a socket, but a socket of ours holds each
port, so that no other program takes it meanwhile, a port of another program is found to be taken, and
"any free port" is truly free. What the rules cannot turn arrives at it (`relay`).
"""

from __future__ import annotations

import errno
import ipaddress
import os
import resource
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from moby_py.errors import Conflict, InvalidArgument, Unavailable, Unsupported
from moby_py.model import PortBinding

_PROTOCOLS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
_TRIES, _BACKLOG = 32, 128
_SPARE = 256
"""Descriptors that published ports leave to everything else that the daemon does."""
Index = dict[tuple[str, int], list[str]]
ANY4, ANY6 = "0.0.0.0", "::"  # noqa: S104 - Docker's own default


class _InUse(Exception):
    """Somebody has this number; another may be free. `refusal` is what to say if none is."""

    def __init__(self, refusal: Conflict) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


@dataclass(slots=True)
class Taken:
    """The ports of one endpoint and the sockets that hold them."""

    bindings: list[PortBinding] = field(default_factory=list)
    sockets: list[socket.socket] = field(default_factory=list)
    listeners: list[tuple[socket.socket, int]] = field(default_factory=list)
    """Of `sockets` those of TCP, each with the container's port."""
    index: Index = field(default_factory=dict)
    """The world's: the addresses on which each port is taken, by whomever."""

    def hold(self, binding: PortBinding, held: socket.socket) -> None:
        self.sockets.append(held)
        if binding.protocol == "tcp":
            self.listeners.append((held, binding.container_port))

    def bind(self, binding: PortBinding) -> None:
        self.bindings.append(binding)
        self.index.setdefault((binding.protocol, binding.host_port), []).append(binding.host_ip)

    def close(self) -> None:
        for it in self.sockets:
            it.close()
        for binding in self.bindings:
            key = (binding.protocol, binding.host_port)
            self.index[key].remove(binding.host_ip)
            if not self.index[key]:
                del self.index[key]
        self.bindings.clear()
        self.sockets.clear()
        self.listeners.clear()


class Ports:
    """All ports that a world has published, by endpoint. Used in the world's thread."""

    def __init__(self) -> None:
        self._taken: dict[str, Taken] = {}
        self._index: Index = {}

    def take(
        self, owner: str, wanted: Sequence[PortBinding], *, addresses: Sequence[str], host_ip: str = ""
    ) -> tuple[PortBinding, ...]:
        """The ports with host address and number filled in, held until `drop`. `addresses` are the
        container's. Raises Conflict in Docker's words, InvalidArgument, Unsupported; nothing is held
        then."""
        taken = Taken(index=self._index)
        target = next(iter(addresses), "")
        families = {6 if ":" in address else 4 for address in addresses}
        try:
            for binding in wanted:
                self._one(taken, binding, _hosts(binding, host_ip, families), target)
        except BaseException:
            taken.close()
            raise
        if taken.bindings:
            self._taken[owner] = taken
        return tuple(taken.bindings)

    def keep(self, owner: str, bindings: Sequence[PortBinding]) -> list[str]:
        """Hold ports that were published in an earlier life. They stay published whatever happens;
        what could not be held is returned, to be told."""
        taken, lost = self._taken.setdefault(owner, Taken(index=self._index)), []
        if taken.bindings:
            return []
        for binding in bindings:
            taken.bind(binding)
            try:
                taken.hold(binding, _hold(binding.protocol, binding.host_ip, binding.host_port))
            except OSError as error:
                lost.append(f"{_shown(binding)}: {error.strerror}")
        return lost

    def listeners(self, owner: str) -> list[tuple[socket.socket, int]]:
        """The sockets of an endpoint at which connections may arrive, each with the container's port."""
        taken = self._taken.get(owner)
        return list(taken.listeners) if taken else []

    def drop(self, owner: str) -> None:
        taken = self._taken.pop(owner, None)
        if taken:
            taken.close()

    def close(self) -> None:
        for owner in list(self._taken):
            self.drop(owner)

    def _one(self, taken: Taken, binding: PortBinding, hosts: list[str], target: str) -> None:
        if binding.protocol not in _PROTOCOLS:
            raise Unsupported(
                f"cannot publish {binding.container_port}/{binding.protocol} - tcp and udp only"
            )
        numbers = list(binding.host_ports) if binding.host_port else [0] * _TRIES
        for number in numbers:
            try:
                self._hold_on(taken, binding, hosts, number, target)
                return
            except _InUse as error:
                if len(numbers) == 1:
                    raise error.refusal from None
        if not binding.host_port:
            raise Unavailable(f"no free host port for {binding.container_port}/{binding.protocol}")
        asked = f"{_address(hosts[0])}:{numbers[0]}-{numbers[-1]}"
        raise Conflict(f"Bind for {asked} failed: all ports are allocated")

    def _hold_on(
        self, taken: Taken, binding: PortBinding, hosts: list[str], number: int, target: str
    ) -> None:
        """The same number on every address. Raises _InUse, and Conflict for what no other number cures."""
        held: list[socket.socket] = []
        try:
            for host in hosts:
                self._check(binding.protocol, host, number)
                held.append(_hold(binding.protocol, host, number))
                number = number or int(held[0].getsockname()[1])
        except BaseException as error:
            for it in held:
                it.close()
            if not isinstance(error, OSError):
                raise
            refusal = _refused(error, host, number, target, binding)
            if error.errno == errno.EADDRINUSE:
                raise _InUse(refusal) from None
            raise refusal from None
        for it in held:
            taken.hold(binding, it)
        for host in hosts:
            taken.bind(replace(binding, host_ip=host, host_port=number, host_port_end=0))

    def _check(self, protocol: str, host: str, number: int) -> None:
        wanted = ipaddress.ip_address(host)
        for other in self._index.get((protocol, number), ()):
            theirs = ipaddress.ip_address(other)
            if theirs.version == wanted.version and (
                theirs == wanted or theirs.is_unspecified or wanted.is_unspecified
            ):
                raise _InUse(
                    Conflict(f"Bind for {_address(host)}:{number} failed: port is already allocated")
                )


def _hosts(binding: PortBinding, default: str, families: set[int]) -> list[str]:
    """The addresses to publish on. TCP over IPv6 reaches a container without IPv6 as well: those
    connections are carried over."""
    given = binding.host_ip or default
    if not given:
        both = 6 in families or (binding.protocol == "tcp" and has_ipv6())
        return [host for yes, host in ((4 in families, ANY4), (both, ANY6)) if yes]
    try:
        address = ipaddress.ip_address(given)
    except ValueError:
        raise InvalidArgument(f"invalid IP address: {given}") from None
    if address.version not in families and (address.version, binding.protocol) != (6, "tcp"):
        raise Unsupported(
            f"cannot publish on {given} - the container has no IPv{address.version} address",
            hint=f"give its network an IPv{address.version} subnet",
        )
    return [str(address)]


def has_ipv6() -> bool:
    """Whether the calling thread's namespace has any IPv6 address (a loopback counts)."""
    try:
        return bool(Path("/proc/thread-self/net/if_inet6").read_bytes())
    except OSError:
        return False


def check_spare(descriptor: int) -> None:
    """Of one just opened for a port. Raises OSError (EMFILE) where it is of the last ones: the kernel
    gives out the lowest number that is free."""
    if descriptor >= resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _SPARE:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def _hold(protocol: str, host: str, port: int) -> socket.socket:
    """A socket that owns the port. TCP listens, so that the port counts as taken for everybody, while
    a connection left over from before (TIME_WAIT) does not count."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    held = socket.socket(family, _PROTOCOLS[protocol] | socket.SOCK_CLOEXEC)
    try:
        check_spare(held.fileno())
        if family == socket.AF_INET6:
            held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if protocol == "tcp":
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((host, port))
        if protocol == "tcp":
            held.listen(_BACKLOG)
    except BaseException:
        held.close()
        raise
    return held


def _refused(error: OSError, host: str, port: int, target: str, binding: PortBinding) -> Conflict:
    why = (error.strerror or str(error)).lower()
    inside = f"{_address(target)}:{binding.container_port}/{binding.protocol}"
    return Conflict(f"failed to bind host port for {_address(host)}:{port}:{inside}: {why}")


def _address(text: str) -> str:
    return f"[{text}]" if ":" in text else text


def _shown(binding: PortBinding) -> str:
    return f"{_address(binding.host_ip)}:{binding.host_port}/{binding.protocol}"
