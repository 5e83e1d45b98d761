"""Published ports of one world: what Docker's bindings ask for, as ports of the forwarder."""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Iterable
from dataclasses import replace

from moby_components.common.forward import Forwarder, Port
from moby_py.errors import Conflict, InvalidArgument, MobyError
from moby_py.model import Attachment, AttachRequest, Endpoint, PortBinding

ANY4, ANY6 = "0.0.0.0", "::"  # noqa: S104 - Docker's own default
HOST_IP = "com.docker.network.bridge.host_binding_ipv4"
TRIES = 32


class Publishing:
    """Keeps what each endpoint has published. The forwarder keeps it over a kill of the daemon."""

    def __init__(self, forwarder: Forwarder, world: str) -> None:
        self._forwarder = forwarder
        self._world = world
        self._keys: dict[str, list[str]] = {}

    async def publish(self, request: AttachRequest) -> tuple[PortBinding, ...]:
        """The bindings with host address and port filled in. Nothing stays published when one cannot
        be; raises Conflict in Docker's words, PermissionDenied, InvalidArgument, Unsupported."""
        owner = owner_of(request)
        keys = self._keys.setdefault(owner, [])
        found: list[PortBinding] = []
        try:
            for number, binding in enumerate(request.ports):
                found += await self._one(request, binding, f"{owner} {number}", keys)
        except BaseException as error:
            await self.withdraw(request)
            if isinstance(error, MobyError):
                raise _failed(request, error) from error
            raise
        return tuple(found)

    async def withdraw(self, request: AttachRequest) -> None:
        """Idempotent."""
        keys = self._keys.pop(owner_of(request), [])
        if keys:
            await self._forwarder.withdraw(*keys)

    async def recover(self, endpoints: Iterable[Endpoint]) -> dict[str, MobyError]:
        """Exactly the ports of these endpoints. Returns what failed."""
        self._keys.clear()
        ports: list[Port] = []
        for endpoint in endpoints:
            request, owner = endpoint.request, owner_of(endpoint.request)
            for number, binding in enumerate(endpoint.attachment.ports):
                port = self._port(request, endpoint.attachment, binding, f"{owner} recovered {number}")
                ports.append(port)
                self._keys.setdefault(owner, []).append(port.key)
        return await self._forwarder.sync(ports)

    async def _one(
        self, request: AttachRequest, binding: PortBinding, key: str, keys: list[str]
    ) -> list[PortBinding]:
        hosts = _hosts(request, binding)
        numbers = list(binding.host_ports) if binding.host_port else [0] * TRIES
        for tried, wanted in enumerate(numbers, 1):
            number = wanted
            found: list[PortBinding] = []
            try:
                for host in hosts:
                    port = self._port(
                        request, None, replace(binding, host_ip=host, host_port=number), f"{key} {host}"
                    )
                    if port.key not in keys:
                        keys.append(port.key)
                    try:
                        number = await self._forwarder.publish(port)
                    except MobyError:
                        if host == ANY6 and found and not has_ipv6():
                            continue  # asked for by nobody but Docker's default
                        raise
                    found.append(replace(binding, host_ip=host, host_port=number, host_port_end=0))
                return found
            except Conflict:
                last = tried == len(numbers)
                if last and binding.host_port_end:
                    asked = f"{hosts[0]}:{numbers[0]}-{numbers[-1]}"
                    raise Conflict(f"Bind for {asked} failed: all ports are allocated") from None
                if last or not (wanted or found):
                    raise  # else: taken, or free for one family only; another number may do
                await self._forwarder.withdraw(*(f"{key} {host}" for host in hosts))
        raise AssertionError  # the last number returns or raises

    def _port(
        self, request: AttachRequest, attachment: Attachment | None, binding: PortBinding, key: str
    ) -> Port:
        ipv4, ipv6 = (attachment or request).ipv4, (attachment or request).ipv6
        prefers6 = ":" in binding.host_ip and ipv6
        return Port(
            key=key,
            host_ip=binding.host_ip,
            host_port=binding.host_port,
            protocol=binding.protocol,
            address=(ipv6 if prefers6 or not ipv4 else ipv4).partition("/")[0],
            port=binding.container_port,
            world=self._world,
        )


def owner_of(request: AttachRequest) -> str:
    return f"{request.container_id} {request.network_id}"


def has_ipv6() -> bool:
    """Whether sockets of IPv6 can be bound here."""
    import socket

    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind((ANY6, 0))
    except OSError as error:
        return error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
    return True


def _hosts(request: AttachRequest, binding: PortBinding) -> list[str]:
    given = binding.host_ip or request.network.options.get(HOST_IP, "")
    if given in ("", ANY4) and not binding.host_ip:
        return [ANY4, ANY6]
    try:
        return [str(ipaddress.ip_address(given))]
    except ValueError:
        raise InvalidArgument(f"invalid IP address: {given}") from None


def _failed(request: AttachRequest, error: MobyError) -> MobyError:
    """Docker's words, which clients look for."""
    endpoint = f"{request.container_name} ({request.endpoint_id})"
    return type(error)(
        f"driver failed programming external connectivity on endpoint {endpoint}: {error.message}",
        hint=error.hint,
    )
