"""Joining and leaving networks: at a start, at an end, and while a container lives.

Every step is written into the container's record before it is taken, so that `leave` undoes what was
begun even in another life of the daemon.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from moby_components.common import mounts
from moby_components.common.netns import in_netns
from moby_components.engine.moby.core import Core
from moby_components.engine.moby.entry import Entry
from moby_components.engine.moby.networking import refusals, shown, wishes
from moby_components.engine.moby.networking.naming import dns_names
from moby_components.engine.moby.networking.pools import check_mac, mac
from moby_components.engine.moby.networking.records import (
    dump_attachment,
    dump_request,
    endpoint_id,
    load_attachment,
    load_request,
)
from moby_components.engine.moby.rendering.endpoint import IFNAME, check_interface
from moby_components.engine.moby.rendering.network import Wish
from moby_py.errors import Conflict, MobyError, NotFound
from moby_py.model import Attachment, AttachRequest, Endpoint, NetworkRecord, PortBinding, Sandbox


@dataclass(frozen=True, slots=True)
class Joined:
    """`donor` is the container whose network is shared, if one is."""

    sandbox: Sandbox
    attachments: tuple[Attachment, ...] = ()
    servers: tuple[str, ...] = ()
    """Resolvers for /etc/resolv.conf; empty: the host's."""
    donor: Entry | None = None


async def join(core: Core, entry: Entry) -> Joined:
    """Make the sandbox of a start and attach it to each network."""
    record = entry.record
    wanted = wishes.wanted(record, core.networks.default)
    if wanted.join:
        return _share(core, wanted.join)
    networks = [core.networks.get(wish.network) for wish in wanted.endpoints]
    if not networks:
        return Joined(await _alone(core, entry))
    wishes.check_company(networks)
    await _settle(core, entry)
    for network, wish in zip(networks, wanted.endpoints, strict=True):
        wishes.check(network, wish)
    sandbox = await _sandbox(core, entry, networks[0])
    first = wishes.routed_first(networks, wanted.endpoints)
    for number, (network, wish) in enumerate(zip(networks, wanted.endpoints, strict=True)):
        await attach(
            core, entry, network, wish, sandbox,
            interface=interface(entry, wish),
            default_route=number == first,
            ports=wanted.ports if number == first and sandbox.mode in ("private", "runtime") else (),
        )  # fmt: skip
    pairs = joined(core, entry)
    show(core, entry)
    await core.naming.update(entry)
    return Joined(sandbox, tuple(a for _, a in pairs), core.naming.servers(pairs))


async def leave(core: Core, entry: Entry) -> None:
    """Detach from all and remove the sandbox. Idempotent."""
    record = entry.record
    ids = [data["network_id"] for data in record.attachments]
    if ids:
        await core.naming.forget(entry, ids)
    failure: MobyError | None = None
    for data in list(record.attachments):
        try:
            await detach(core, entry, data)
        except MobyError as error:
            failure = error
    pinned = core.layout.netns(record.id)
    if pinned.exists():
        await asyncio.to_thread(mounts.umount_all, pinned)
        pinned.unlink(missing_ok=True)
    record.network = shown.idle(wishes.wanted(record, core.networks.default), core.networks.find)
    if failure is not None:
        raise failure


async def attach(
    core: Core,
    entry: Entry,
    network: NetworkRecord,
    wish: Wish,
    sandbox: Sandbox,
    *,
    interface: str,
    default_route: bool,
    ports: tuple[PortBinding, ...],
) -> Attachment:
    """One network: addresses, the component's work, the record and the event. Undone when it fails."""
    record = entry.record
    network = await core.networks.ensure(network)
    request = _request(core, entry, network, wish, sandbox)
    request = replace(request, interface=interface, default_route=default_route, ports=ports)
    note: dict[str, Any] = {
        "network_id": network.id,
        "name": network.name,
        "request": dump_request(request),
        "attachment": None,
    }
    record.attachments.append(note)
    core.save(entry)
    try:
        attachment = await core.networks.component_of(network).attach(request)
    except BaseException as error:
        record.attachments.remove(note)
        core.save(entry)
        if isinstance(error, Conflict):
            error.hint = refusals.hint_for(core, entry, ports, error)
        raise
    note["attachment"] = dump_attachment(attachment)
    _event(core, "connect", entry, network.id, network.name, network.driver)
    return attachment


async def detach(core: Core, entry: Entry, note: dict[str, Any], *, force: bool = False) -> None:
    """Idempotent; a network or component that is gone took the endpoint along. With `force` the note
    goes even where the component fails."""
    try:
        network = core.networks.get(note["network_id"])
        component = core.networks.component_of(network)
    except MobyError as error:
        core.log.warning("container %s leaves network %s unasked: %s", entry.record.name, note["name"], error)
    else:
        request = load_request(note["request"], network)
        try:
            await component.detach(request, load_attachment(note["attachment"]))
        except MobyError as error:
            if not force:
                raise
            core.log.warning("%s left network %s by force: %s", entry.record.name, network.name, error)
        _event(core, "disconnect", entry, network.id, network.name, network.driver)
    entry.record.attachments.remove(note)


async def again(core: Core, entry: Entry, network: NetworkRecord, *, ports: tuple[PortBinding, ...]) -> None:
    """The same endpoint with other ports: off and on, with its addresses and its place among the
    interfaces. Raises MobyError; then the container is off that network, but for its wish."""
    note = note_of(entry, network)
    if note is None:
        return
    component = core.networks.component_of(network)
    old = load_request(note["request"], network)
    new = replace(old, ports=ports)
    await component.detach(old, load_attachment(note["attachment"]))
    note["request"], note["attachment"] = dump_request(new), None
    core.save(entry)
    note["attachment"] = dump_attachment(await component.attach(new))
    core.save(entry)


def note_of(entry: Entry, network: NetworkRecord) -> dict[str, Any] | None:
    """The record's note of its place on this network."""
    return next((n for n in entry.record.attachments if n["network_id"] == network.id), None)


async def recover(core: Core, live: Sequence[Entry]) -> None:
    """After a start of the daemon: every component hears which endpoints live on."""
    by_component: dict[str, list[Endpoint]] = {id: [] for id in core.networks.components}
    for entry in live:
        for data in entry.record.attachments:
            attachment = load_attachment(data["attachment"])
            try:
                network = core.networks.get(data["network_id"])
            except NotFound:
                core.log.warning("network %s of %s is gone", data["name"], entry.record.name)
                continue
            if attachment is not None and network.component in by_component:
                request = load_request(data["request"], network)
                by_component[network.component].append(Endpoint(request=request, attachment=attachment))
    for id, endpoints in by_component.items():
        try:
            await core.networks.components[id].recover(endpoints)
        except MobyError as error:
            core.log.warning("network component %s did not take up its endpoints: %s", id, error)
    await core.naming.sync(live)


def joined(core: Core, entry: Entry) -> list[tuple[AttachRequest, Attachment]]:
    """What the present run is attached to, in the order of its interfaces."""
    found = []
    for data in entry.record.attachments:
        attachment = load_attachment(data["attachment"])
        if attachment is not None:
            network = core.networks.get(data["network_id"])
            found.append((load_request(data["request"], network), attachment))
    return found


def rename(core: Core, entry: Entry) -> None:
    """The container's name is another one now: on its networks too."""
    for note in entry.record.attachments:
        note["request"]["container_name"] = entry.record.name
    if entry.record.attachments:
        show(core, entry)


def show(core: Core, entry: Entry) -> None:
    """Bring NetworkSettings up to date with the attachments."""
    record = entry.record
    wanted = wishes.wanted(record, core.networks.default)
    pairs = joined(core, entry)
    parts = []
    for request, attachment in pairs:
        wish = wishes.find(core.networks, wanted.endpoints, request.network) or Wish(request.network.name)
        names = dns_names(request) if request.network.names != "none" else ()
        parts.append((wish, request.network, attachment, names))
    sandbox = pairs[0][0].sandbox.path if pairs else str(record.network.get("SandboxKey") or "")
    record.network = shown.live(parts, sandbox, record.id)


def _share(core: Core, ref: str) -> Joined:
    donor = core.get(ref)
    if not donor.record.live or not donor.record.pid:
        raise Conflict(f"cannot join network of a non running container: {donor.id}")
    if donor.record.host.get("NetworkMode") == "host":
        return Joined(Sandbox(mode="host"), donor=donor)
    pinned = core.layout.netns(donor.id)
    path = str(pinned) if pinned.exists() else f"/proc/{donor.record.pid}/ns/net"
    return Joined(Sandbox(mode="private", path=path), donor=donor)


async def _settle(core: Core, entry: Entry) -> None:
    """Places of an earlier run that their component would not take down then: once more, and now they
    go; what it keeps is its to clear."""
    for note in list(entry.record.attachments):
        await detach(core, entry, note, force=True)


async def _alone(core: Core, entry: Entry) -> Sandbox:
    """Of a container that was taken off all its networks. It may be connected again while it runs."""
    if not any(component.drivers for component in core.networks.components.values()):
        return Sandbox(mode="empty")
    path = core.layout.netns(entry.id)
    await asyncio.to_thread(mounts.pin_network_namespace, path)
    await in_netns(path, _loopback_up)
    return Sandbox(mode="private", path=str(path))


def _loopback_up() -> None:
    from moby_components.common.netlink import Netlink, set_link

    with Netlink() as netlink:
        netlink.send([set_link("lo", up=True)])


async def _sandbox(core: Core, entry: Entry, network: NetworkRecord) -> Sandbox:
    if network.sandbox != "private":
        return Sandbox(mode=network.sandbox)
    path = core.layout.netns(entry.id)
    await asyncio.to_thread(mounts.pin_network_namespace, path)
    return Sandbox(mode="private", path=str(path))


def interface(entry: Entry, wish: Wish) -> str:
    """--network ...,driver-opt=com.docker.network.endpoint.ifname=NAME, else the next free ethN."""
    taken = {data["request"]["interface"] for data in entry.record.attachments}
    asked = wish.options.get(IFNAME, "")
    if asked:
        check_interface(asked)
        if asked in taken:
            raise Conflict(f"interface name {asked!r} is used twice in one container")
        return asked
    return next(name for name in (f"eth{n}" for n in range(len(taken) + 1)) if name not in taken)


def _request(core: Core, entry: Entry, network: NetworkRecord, wish: Wish, sandbox: Sandbox) -> AttachRequest:
    record = entry.record
    ipv4, ipv6 = wish.ipv4, wish.ipv6
    gateways = ("", "")
    hardware = check_mac(wish.mac) if wish.mac else ""
    if network.addressing == "engine":
        ipv4, ipv6 = core.networks.lease(network, entry.id, ipv4, ipv6)
        hardware = hardware or mac(ipv4, entry.id, network.id)
        if not network.internal:
            gateways = core.networks.gateways(network, ipv4, ipv6)
    _, runtime = core.runtime_wanted(record)
    return AttachRequest(
        container_id=entry.id,
        container_name=record.name,
        network=network,
        sandbox=sandbox,
        endpoint_id=endpoint_id(entry.id, network.id),
        hostname=record.intent.get("Hostname") or "",
        aliases=wish.aliases,
        ipv4=ipv4,
        ipv6=ipv6,
        gateway4=gateways[0],
        gateway6=gateways[1],
        mac=hardware,
        dns=tuple(record.host.get("Dns") or ()),
        own_stack="own-network-stack" in runtime.features,
        options=wish.options,
    )


def _event(core: Core, action: str, entry: Entry, id: str, name: str, driver: str) -> None:
    core.events.emit("network", action, id, {"container": entry.id, "name": name, "type": driver})
