"""Docker's NetworkSettings and EndpointSettings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from moby_components.engine.moby.rendering.network import Networking, Wish
from moby_py.model import Attachment, NetworkRecord

_FLAT = ("EndpointID", "Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPAddress", "IPPrefixLen")


def idle(wanted: Networking, find: Callable[[str], NetworkRecord | None]) -> dict[str, Any]:
    """Of a container that does not run: its networks by name, without addresses. `find` looks up what
    the user called a network; one that is not there (any more) is shown as it was called."""
    if wanted.join:
        return {}
    networks = [(wish, find(wish.network)) for wish in wanted.endpoints]
    return {
        "Ports": {},
        "Networks": {
            record.name if record else wish.network: _endpoint(wish, record, None, ())
            for wish, record in networks
        },
    }


def live(
    joined: Sequence[tuple[Wish, NetworkRecord, Attachment, tuple[str, ...]]], sandbox: str, id: str
) -> dict[str, Any]:
    """`joined` with the names each is called by. The flat fields repeat the first network: old clients
    read those."""
    shown = {record.name: _endpoint(wish, record, att, names) for wish, record, att, names in joined}
    first: dict[str, Any] = next((s for s in shown.values() if s["IPAddress"] or s["GlobalIPv6Address"]), {})
    first = first or next(iter(shown.values()), {})
    ports: dict[str, list[dict[str, str]]] = {}
    for _, _, attachment, _ in joined:
        for port in attachment.ports:
            for host_ip in (port.host_ip,) if port.host_ip else _EVERYWHERE:
                ports.setdefault(f"{port.container_port}/{port.protocol}", []).append(
                    {"HostIp": host_ip, "HostPort": str(port.host_port)}
                )
    return {
        "SandboxID": id if joined else "",
        "SandboxKey": sandbox,
        "Ports": ports,
        **{key: first.get(key) for key in (*_FLAT, "IPv6Gateway", "MacAddress")},
        "Networks": shown,
    }


_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - what Docker shows for a port on all addresses


def _endpoint(
    wish: Wish, network: NetworkRecord | None, attachment: Attachment | None, names: tuple[str, ...]
) -> dict[str, Any]:
    ipv4, _, length4 = (attachment.ipv4 if attachment else "").partition("/")
    ipv6, _, length6 = (attachment.ipv6 if attachment else "").partition("/")
    asked = (("IPv4Address", wish.ipv4), ("IPv6Address", wish.ipv6))
    return {
        "IPAMConfig": {key: value for key, value in asked if value} or None,
        "Links": list(wish.links) or None,
        "Aliases": list(wish.aliases[:-1]) or None,
        "MacAddress": attachment.mac if attachment else "",
        "DriverOpts": dict(wish.options) or None,
        "GwPriority": wish.priority,
        "NetworkID": network.id if network else "",
        "EndpointID": attachment.endpoint_id if attachment else "",
        "Gateway": attachment.gateway4 if attachment else "",
        "IPAddress": ipv4,
        "IPPrefixLen": int(length4 or 0),
        "IPv6Gateway": attachment.gateway6 if attachment else "",
        "GlobalIPv6Address": ipv6,
        "GlobalIPv6PrefixLen": int(length6 or 0),
        "DNSNames": list(names) or None,
    }
