"""Which networks a container joins, with which names, addresses and ports."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from moby_components.engine.moby.rendering import endpoint
from moby_py.errors import InvalidArgument
from moby_py.model import PortBinding

_PORT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp|sctp))?")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Wish:
    """One network to join, by the name or id the user gave. `priority`: Docker's GwPriority."""

    network: str
    aliases: tuple[str, ...] = ()
    ipv4: str = ""
    ipv6: str = ""
    mac: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    links: tuple[str, ...] = ()
    """CONTAINER[:NAME] of neighbours that it knows by names of its own."""


@dataclass(frozen=True, slots=True)
class Networking:
    """Either `join` (a container's ref) or endpoints, the first of which has the ports."""

    join: str = ""
    endpoints: tuple[Wish, ...] = ()
    ports: tuple[PortBinding, ...] = ()


def networking(body: Mapping[str, Any], *, id: str, default: str) -> Networking:
    """`default` is the network component's own. Raises InvalidArgument."""
    host = body.get("HostConfig") or {}
    mode = str(host.get("NetworkMode") or "default")
    if mode.startswith("container:"):
        joined = mode.removeprefix("container:")
        if not joined:
            raise InvalidArgument("invalid container format container:<name|id>")
        for key, word in (
            ("PortBindings", "port publishing"),
            ("Dns", "dns"),
            ("ExtraHosts", "custom host-to-IP mapping"),
        ):
            if host.get(key):
                raise InvalidArgument(f"conflicting options: {word} and the container type network mode")
        return Networking(join=joined)
    if body.get("NetworkDisabled"):
        mode = "none"
    wanted = (body.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}
    main = default if mode == "default" else mode
    settings = dict(wanted)
    first = settings.pop(mode, None) or settings.pop(main, None) or {}
    endpoints = [wish(main, first, body, id)]
    endpoints += [wish(name, value or {}, {}, id) for name, value in settings.items() if name != "default"]
    return Networking(endpoints=tuple(endpoints), ports=ports(body))


def check(body: Mapping[str, Any], id: str) -> None:
    """Names, endpoints and ports of a create body, before they are kept. Raises InvalidArgument."""
    hostname(body, id)
    domain = body.get("Domainname") or ""
    if domain and (len(domain) > 64 or not _HOST_NAME.fullmatch(domain)):
        raise InvalidArgument(f"invalid domainname format: {domain[:100]}")
    endpoint.check_links((body.get("HostConfig") or {}).get("Links"))
    endpoint.check_ports((body.get("HostConfig") or {}).get("PortBindings") or {})
    for settings in ((body.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}).values():
        endpoint.check_settings(settings or {})
    endpoint.check_settings({"MacAddress": body.get("MacAddress")})


def ports(body: Mapping[str, Any]) -> tuple[PortBinding, ...]:
    """PortBindings, and with PublishAllPorts every exposed port that has none."""
    host = body.get("HostConfig") or {}
    found: list[PortBinding] = []
    bound: set[tuple[int, str]] = set()
    for text, bindings in (host.get("PortBindings") or {}).items():
        for number, protocol in exposed(text):
            bound.add((number, protocol))
            for binding in bindings or [{}]:
                endpoint.check_number(len(found) + 1)
                first, last = _host_ports(binding.get("HostPort") or "")
                found.append(
                    PortBinding(
                        container_port=number,
                        protocol=protocol,
                        host_ip=binding.get("HostIp") or "",
                        host_port=first,
                        host_port_end=last,
                    )
                )
    if host.get("PublishAllPorts"):
        for text in body.get("ExposedPorts") or {}:
            for number, protocol in exposed(text):
                if (number, protocol) not in bound:
                    endpoint.check_number(len(found) + 1)
                    found.append(PortBinding(container_port=number, protocol=protocol))
    return tuple(found)


def exposed(text: str) -> Iterator[tuple[int, str]]:
    """ "8000-8002/udp" -> three ports, one after the other. Raises InvalidArgument at once."""
    match = _PORT.fullmatch(text)
    if not match:
        raise InvalidArgument(f"invalid port specification: '{text}'")
    first = int(match[1])
    last = int(match[2] or first)
    if not 0 < first <= last <= 65535:
        raise InvalidArgument(f"invalid port specification: '{text}'")
    return ((number, match[3] or "tcp") for number in range(first, last + 1))


def hostname(body: Mapping[str, Any], id: str) -> str:
    """The body's own, else the id's first twelve digits. Raises InvalidArgument."""
    name = body.get("Hostname") or id[:12]
    if len(name) > 63 or not _HOST_NAME.fullmatch(name):
        raise InvalidArgument(f"invalid hostname format: {name[:100]}")
    return str(name)


def _host_ports(text: str) -> tuple[int, int]:
    """ "" and "0": any, (0, 0). "8000-8010": one of these that is free."""
    first, dash, last = str(text).partition("-")
    numbers = [int(word) if word.isdecimal() else -1 for word in (first or "0", last or "0")]
    if not all(0 <= number <= 65535 for number in numbers) or (dash and not 0 < numbers[0] <= numbers[1]):
        raise InvalidArgument(f"invalid port specification: '{text}'")
    return numbers[0], numbers[1] if numbers[1] > numbers[0] else 0


def wish(network: str, settings: Mapping[str, Any], body: Mapping[str, Any], id: str) -> Wish:
    """From Docker's EndpointSettings; `body` may still carry the old top-level MacAddress. The short id
    is an alias of every container."""
    addresses = settings.get("IPAMConfig") or {}
    return Wish(
        network=network,
        aliases=tuple(dict.fromkeys([*(settings.get("Aliases") or ()), id[:12]])),
        ipv4=addresses.get("IPv4Address") or "",
        ipv6=addresses.get("IPv6Address") or "",
        mac=settings.get("MacAddress") or body.get("MacAddress") or "",
        options=dict(settings.get("DriverOpts") or {}),
        priority=int(settings.get("GwPriority") or 0),
        links=tuple(settings.get("Links") or ()),
    )
