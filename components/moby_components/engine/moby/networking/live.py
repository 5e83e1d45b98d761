"""`network connect` and `network disconnect`: what a container is to be on, and its interfaces at once
where it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from moby_components.engine.moby.core import Core
from moby_components.engine.moby.entry import Entry
from moby_components.engine.moby.networking import endpoints, etc, shown, wishes
from moby_components.engine.moby.networking.records import load_attachment, load_request
from moby_components.engine.moby.networking.routes import move_default_route
from moby_components.engine.moby.rendering.network import Networking, Wish
from moby_py.errors import Conflict, InvalidArgument, MobyError, PermissionDenied, Unsupported
from moby_py.model import Attachment, AttachRequest, NetworkRecord, PortBinding, Sandbox


async def connect(core: Core, entry: Entry, network: NetworkRecord, settings: Mapping[str, Any]) -> None:
    """With the container's lock held. See the contract."""
    record = entry.record
    if record.status in ("removing", "dead"):
        raise Conflict(f"container {record.id} is marked for removal and cannot be connected")
    before = wishes.wanted(record, core.networks.default)
    if before.join:
        raise Conflict(wishes.SHARED)
    if wishes.find(core.networks, before.endpoints, network) is not None:
        raise PermissionDenied(f"endpoint with name {record.name} already exists in network {network.name}")
    wish = wishes.of_settings(network, settings, record)
    for link in wish.links:
        core.get(link.partition(":")[0])
    known = [it for w in before.endpoints if (it := core.networks.find(w.network)) is not None]
    wishes.check_company([*known, network], joins=network)
    if record.live:
        await _join_now(core, entry, network, wish, before)
    wishes.store(record, (*before.endpoints, wish))
    if record.live:
        endpoints.show(core, entry)
        await etc.refresh(core, entry, endpoints.joined(core, entry))
    else:
        record.network = shown.idle(wishes.wanted(record, core.networks.default), core.networks.find)
    core.save(entry)


async def disconnect(core: Core, entry: Entry, network: NetworkRecord, *, force: bool = False) -> None:
    """With the container's lock held. See the contract. With `force` it leaves even where the network's
    component fails: what that keeps is its to clear at the next start."""
    record = entry.record
    before = wishes.wanted(record, core.networks.default)
    wish = wishes.find(core.networks, before.endpoints, network)
    if wish is None:
        raise Conflict(f"container {record.id} is not connected to network {network.name}")
    if network.sandbox == "host":
        raise Conflict(
            "cannot disconnect container from host network - container was created in host network mode"
        )
    if record.live:
        await _leave_now(core, entry, network, before, force=force)
    else:
        await _leave_behind(core, entry, network, force=force)
    wishes.store(record, tuple(w for w in before.endpoints if w is not wish))
    core.networks.give_back(entry.id, network.id)
    if record.live:
        endpoints.show(core, entry)
    else:
        record.network = shown.idle(wishes.wanted(record, core.networks.default), core.networks.find)
    core.save(entry)


async def mend(core: Core, entry: Entry) -> None:
    """After a start of the daemon, of a container that lives on: what a kill in the middle of a connect
    or disconnect has left is finished, or undone where nobody was told that it was done."""
    before = wishes.wanted(entry.record, core.networks.default)
    changed = False
    for note in list(entry.record.attachments):
        network = core.networks.find(note["network_id"])
        if network is None or wishes.find(core.networks, before.endpoints, network) is None:
            await core.naming.forget(entry, [note["network_id"]])
            await endpoints.detach(core, entry, note, force=True)
            core.networks.give_back(entry.id, note["network_id"])
        elif note["attachment"] is None:
            await _publish(core, entry, network, load_request(note["request"], network).ports)
        else:
            continue
        changed = True
    rest = endpoints.joined(core, entry)
    if rest:
        leader = _leader(core, rest, before)
        published = any(request.ports for request, _ in rest)
        if before.ports and not published and leader.sandbox == "private" and not leader.internal:
            await _publish(core, entry, leader, before.ports)
            changed = True
        if not any(request.default_route for request, _ in rest):
            await _lead(core, entry, leader.id)
            changed = True
    if changed:
        await core.naming.update(entry)
        await etc.refresh(core, entry, endpoints.joined(core, entry))
        endpoints.show(core, entry)


async def _join_now(core: Core, entry: Entry, network: NetworkRecord, wish: Wish, before: Networking) -> None:
    sandbox = _sandbox(core, entry)
    if not core.networks.component_of(network).live:
        raise Unsupported(
            f"network {network.name} cannot be joined by a running container - its driver does not do that",
            hint="stop the container, connect it, and start it again",
        )
    others = endpoints.joined(core, entry)
    holder = next((r for r, _ in others if r.default_route), None)
    priority = _priority(core, before, holder.network) if holder is not None else 0
    leads = holder is None or (holder.network.internal and not network.internal) or wish.priority > priority
    old = holder.network if holder is not None and leads else None
    publishes = leads and not network.internal
    publisher = next((r.network for r, a in others if a.ports), None) if publishes else None
    interface = endpoints.interface(entry, wish)
    try:
        if publisher is not None:  # answers to a port go the way of the default route
            await endpoints.again(core, entry, publisher, ports=())
        await endpoints.attach(
            core, entry, network, wish, sandbox,
            interface=interface, default_route=leads and old is None,
            ports=before.ports if publishes else (),
        )  # fmt: skip
    except BaseException:
        if publisher is not None:
            await _publish(core, entry, publisher, before.ports)
        raise
    try:
        if old is not None:
            await _lead(core, entry, network.id)
        await core.naming.update(entry)
    except BaseException:
        await _undo(core, entry, network, old)
        if publisher is not None:
            await _publish(core, entry, publisher, before.ports)
        raise


async def _undo(core: Core, entry: Entry, network: NetworkRecord, before: NetworkRecord | None) -> None:
    """A join that failed half way; the default route goes back to the network `before`."""
    note = endpoints.note_of(entry, network)
    try:
        await core.naming.forget(entry, [network.id])
        if note is not None:
            await endpoints.detach(core, entry, note)
        if before is not None:
            await _lead(core, entry, before.id)
    except MobyError as error:
        core.log.warning("%s has not left network %s: %s", entry.record.name, network.name, error)
    core.save(entry)


async def _leave_now(
    core: Core, entry: Entry, network: NetworkRecord, before: Networking, *, force: bool
) -> None:
    _sandbox(core, entry)
    note = endpoints.note_of(entry, network)
    if note is None:
        return
    request, attachment = load_request(note["request"], network), load_attachment(note["attachment"])
    await core.naming.forget(entry, [network.id])
    try:
        await endpoints.detach(core, entry, note, force=force)
    except BaseException:
        await core.naming.update(entry)
        raise
    core.save(entry)
    rest = endpoints.joined(core, entry)
    if request.default_route and rest:
        chosen = _leader(core, rest, before)
        if attachment is not None and attachment.ports and not chosen.internal:
            await _publish(core, entry, chosen, before.ports)
        await _lead(core, entry, chosen.id)
    await etc.refresh(core, entry, endpoints.joined(core, entry))


async def _leave_behind(core: Core, entry: Entry, network: NetworkRecord, *, force: bool) -> None:
    """Of a container that does not run: what its component would not take down when it ended."""
    note = endpoints.note_of(entry, network)
    if note is not None:
        await endpoints.detach(core, entry, note, force=force)


async def _publish(core: Core, entry: Entry, network: NetworkRecord, ports: tuple[PortBinding, ...]) -> None:
    """These ports are published on this network from now on; without them rather than not at all."""
    try:
        await endpoints.again(core, entry, network, ports=ports)
    except MobyError as error:
        core.log.warning("the ports of %s are published no more: %s", entry.record.name, error)
        if ports:
            await endpoints.again(core, entry, network, ports=())


def _leader(
    core: Core, rest: Sequence[tuple[AttachRequest, Attachment]], before: Networking
) -> NetworkRecord:
    """Which network has the default route: see `wishes.routed_first`."""
    others = [request.network for request, _ in rest]
    return min(others, key=lambda other: (-_priority(core, before, other), other.internal))


async def _lead(core: Core, entry: Entry, network_id: str) -> None:
    """The default route goes over this network from now on."""
    for note in entry.record.attachments:
        note["request"]["default_route"] = note["network_id"] == network_id
    for request, attachment in endpoints.joined(core, entry):
        if request.network.id == network_id:
            gateways = (attachment.gateway4 or request.gateway4, attachment.gateway6 or request.gateway6)
            closed = request.network.internal
            await move_default_route(
                request.sandbox.path, attachment.interface, *(("", "") if closed else gateways)
            )
    core.save(entry)


def _sandbox(core: Core, entry: Entry) -> Sandbox:
    """The running container's. Raises Unsupported where its runtime would not see a new interface."""
    _, runtime = core.runtime_wanted(entry.record)
    if "own-network-stack" in runtime.features:
        raise Unsupported(
            f"runtime {entry.record.runtime!r} reads its interfaces when it starts - "
            f"container {entry.record.name} runs already",
            hint="stop the container, connect or disconnect it, and start it again",
        )
    path = core.layout.netns(entry.id)
    if not path.exists():
        raise InvalidArgument(
            f"the networks of container {entry.record.name} cannot be changed while it runs - "
            "it has no network sandbox of its own"
        )
    return Sandbox(mode="private", path=str(path))


def _priority(core: Core, before: Networking, network: NetworkRecord) -> int:
    wish = wishes.find(core.networks, before.endpoints, network)
    return wish.priority if wish is not None else 0
