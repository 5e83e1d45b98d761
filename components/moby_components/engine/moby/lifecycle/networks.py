"""The network side of a start: sandbox, attachments, and what inspect shows of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moby_components.common import mounts
from moby_components.engine.moby.core import Core
from moby_components.engine.moby.entry import Entry
from moby_components.engine.moby.rendering.network import Endpoint, Networking, networking
from moby_py.errors import Conflict
from moby_py.model import Attachment, AttachRequest, NetworkRecord, PortBinding, Sandbox


@dataclass(frozen=True, slots=True)
class Joined:
    """`donor` is the container whose network is shared, if one is."""

    sandbox: Sandbox
    attachments: tuple[Attachment, ...] = ()
    donor: Entry | None = None


async def join(core: Core, entry: Entry) -> Joined:
    """Make the sandbox and attach it to each network. What was made is in the record (saved before
    each step), so that `leave` undoes it even in another life of the daemon."""
    record = entry.record
    wanted = networking(record.intent, id=record.id, default=core.network.default)
    if wanted.join:
        return _share(core, wanted.join)
    networks = [await core.network.inspect(endpoint.network) for endpoint in wanted.endpoints]
    sandbox = await _sandbox(core, entry, networks)
    found = []
    for number, (endpoint, network) in enumerate(zip(wanted.endpoints, networks, strict=True)):
        record.attachments.append({"network_id": network.id, "name": network.name})
        core.save(entry)
        ports = wanted.ports if number == 0 and sandbox.mode in ("private", "runtime") else ()
        found.append(await core.network.attach(_request(entry, endpoint, network, sandbox, ports, number)))
        core.events.emit(
            "network",
            "connect",
            network.id,
            {"container": record.id, "name": network.name, "type": network.driver},
        )
    record.network = settings(wanted, networks, found, sandbox)
    return Joined(sandbox, tuple(found))


async def leave(core: Core, entry: Entry) -> None:
    """Detach and remove the sandbox. Idempotent."""
    record = entry.record
    for attached in list(record.attachments):
        await core.network.detach(record.id, attached["network_id"])
        core.events.emit(
            "network",
            "disconnect",
            attached["network_id"],
            {"container": record.id, "name": attached["name"]},
        )
        record.attachments.remove(attached)
    pinned = core.layout.netns(record.id)
    if pinned.exists():
        await asyncio.to_thread(mounts.umount_all, pinned)
        pinned.unlink(missing_ok=True)
    record.network = idle_settings(record.intent, record.id, core.network.default)


def idle_settings(body: Mapping[str, Any], id: str, default: str) -> dict[str, Any]:
    """NetworkSettings of a container that does not run: its networks, without addresses."""
    wanted = networking(body, id=id, default=default)
    if wanted.join:
        return {}
    return {
        "Ports": {},
        "Networks": {e.network: _shown(e, None, None) for e in wanted.endpoints},
    }


def settings(
    wanted: Networking,
    networks: Sequence[NetworkRecord],
    attachments: Sequence[Attachment],
    sandbox: Sandbox,
) -> dict[str, Any]:
    """Docker's NetworkSettings. The flat fields repeat the first network, for old clients."""
    shown = {
        network.name: _shown(endpoint, network, attachment)
        for endpoint, network, attachment in zip(wanted.endpoints, networks, attachments, strict=True)
    }
    first = next(iter(shown.values()), {})
    ports: dict[str, list[dict[str, str]]] = {}
    for attachment in attachments:
        for port in attachment.ports:
            ports.setdefault(f"{port.container_port}/{port.protocol}", []).append(
                {"HostIp": port.host_ip or "0.0.0.0", "HostPort": str(port.host_port)}  # noqa: S104
            )
    flat = ("EndpointID", "Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPAddress", "IPPrefixLen")
    return {
        "SandboxID": attachments[0].container_id if attachments else "",
        "SandboxKey": sandbox.path,
        "Ports": ports,
        **{key: first.get(key) for key in (*flat, "IPv6Gateway", "MacAddress")},
        "Networks": shown,
    }


def _share(core: Core, ref: str) -> Joined:
    donor = core.get(ref)
    if not donor.record.live or not donor.record.pid:
        raise Conflict(f"cannot join network of a non running container: {donor.id}")
    host = donor.record.host.get("NetworkMode") == "host"
    return Joined(
        Sandbox(mode="host") if host else Sandbox(mode="private", path=f"/proc/{donor.record.pid}/ns/net"),
        donor=donor,
    )


async def _sandbox(core: Core, entry: Entry, networks: Sequence[NetworkRecord]) -> Sandbox:
    modes = {network.sandbox for network in networks}
    if len(networks) > 1 and modes != {"private"}:
        odd = next(n for n in networks if n.sandbox != "private")
        raise Conflict(f"container cannot be connected to network {odd.name} and others at once")
    (mode,) = modes
    if mode != "private":
        return Sandbox(mode=mode)
    path = core.layout.netns(entry.id)
    await asyncio.to_thread(mounts.pin_network_namespace, path)
    return Sandbox(mode="private", path=str(path))


def _request(
    entry: Entry,
    endpoint: Endpoint,
    network: NetworkRecord,
    sandbox: Sandbox,
    ports: tuple[PortBinding, ...],
    number: int,
) -> AttachRequest:
    return AttachRequest(
        container_id=entry.id,
        container_name=entry.record.name,
        network_id=network.id,
        sandbox=sandbox,
        hostname=entry.record.intent.get("Hostname") or "",
        aliases=endpoint.aliases,
        ports=ports,
        ipv4=endpoint.ipv4,
        ipv6=endpoint.ipv6,
        mac=endpoint.mac,
        options=endpoint.options,
        interface=f"eth{number}",
    )


def _shown(
    endpoint: Endpoint, network: NetworkRecord | None, attachment: Attachment | None
) -> dict[str, Any]:
    """Docker's EndpointSettings."""
    ipv4, _, length4 = (attachment.ipv4 if attachment else "").partition("/")
    ipv6, _, length6 = (attachment.ipv6 if attachment else "").partition("/")
    return {
        "IPAMConfig": {
            key: value
            for key, value in (("IPv4Address", endpoint.ipv4), ("IPv6Address", endpoint.ipv6))
            if value
        }
        or None,
        "Aliases": list(endpoint.aliases),
        "MacAddress": attachment.mac if attachment else "",
        "DriverOpts": dict(endpoint.options) or None,
        "NetworkID": network.id if network else "",
        "EndpointID": attachment.endpoint_id if attachment else "",
        "Gateway": attachment.gateway4 if attachment else "",
        "IPAddress": ipv4,
        "IPPrefixLen": int(length4 or 0),
        "IPv6Gateway": attachment.gateway6 if attachment else "",
        "GlobalIPv6Address": ipv6,
        "GlobalIPv6PrefixLen": int(length6 or 0),
    }
