"""--link: names for one container's neighbours that only it knows, as lines of its /etc/hosts.

Docker's oldest way to find a neighbour, which Compose's `links` still uses. The lines are written at a
start and when a network is joined; a neighbour keeps its address over restarts.
"""

from __future__ import annotations

from collections.abc import Iterator

from moby_components.engine.moby.core import Core
from moby_components.engine.moby.entry import Entry
from moby_components.engine.moby.networking import wishes
from moby_components.engine.moby.networking.naming import bare
from moby_components.engine.moby.networking.records import load_attachment
from moby_py.errors import Conflict, MobyError
from moby_py.model import NetworkRecord


def neighbours(core: Core, entry: Entry, *, strict: bool) -> list[tuple[str, str]]:
    """(names, address) of every linked container on a network that both are on. With `strict` raises
    Conflict for a link of the default network whose container does not run, NotFound for one that is
    not there; else these are left out."""
    found: list[tuple[str, str]] = []
    wanted = wishes.wanted(entry.record, core.networks.default)
    for note in entry.record.attachments:
        network = core.networks.find(note["network_id"])
        if network is None:
            continue
        wish = wishes.find(core.networks, wanted.endpoints, network)
        own = entry.record.host.get("Links") if network.builtin else None
        for link in dict.fromkeys([*(wish.links if wish else ()), *(own or ())]):
            try:
                found += _one(core, entry, network, link)
            except MobyError:
                if strict:
                    raise
    return found


def _one(core: Core, entry: Entry, network: NetworkRecord, link: str) -> Iterator[tuple[str, str]]:
    ref, _, alias = link.partition(":")
    other = core.get(ref)
    alias = alias.rpartition("/")[2] or other.record.name
    attachments = [
        load_attachment(note["attachment"])
        for note in other.record.attachments
        if note["network_id"] == network.id
    ]
    addresses = [bare(x) for at in attachments if at is not None for x in (at.ipv4, at.ipv6) if x]
    if not addresses and network.builtin:
        raise Conflict(
            f"Cannot link to a non running container: /{other.record.name} AS /{entry.record.name}/{alias}"
        )
    names = " ".join(dict.fromkeys((alias, other.id[:12], other.record.name)))
    yield from ((names, address) for address in addresses)
