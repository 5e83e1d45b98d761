"""Which networks a container is to be on, as its record keeps them: set at create, changed by connect
and disconnect, read at every start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from moby_components.engine.moby.networking.networks import Networks
from moby_components.engine.moby.networking.pools import check_mac
from moby_components.engine.moby.records import Record
from moby_components.engine.moby.rendering.endpoint import check_settings
from moby_components.engine.moby.rendering.network import Networking, Wish, networking, wish
from moby_py.errors import Conflict, InvalidArgument
from moby_py.model import NetworkRecord

SHARED = (
    "container sharing network namespace with another container or host cannot be connected to any other "
    "network"
)
_ALONE = {
    "host": "cannot connect container to host network - container must be created in host network mode",
    "empty": "container cannot be connected to multiple networks with one of the networks in private "
    "(none) mode",
}


def wanted(record: Record, default: str) -> Networking:
    """The intent's networks, as connect and disconnect have left them."""
    found = networking(record.intent, id=record.id, default=default)
    if found.join or record.endpoints is None:
        return found
    return replace(found, endpoints=tuple(load(data) for data in record.endpoints))


def store(record: Record, wishes: tuple[Wish, ...]) -> None:
    record.endpoints = [asdict(wish) for wish in wishes]


def load(data: Mapping[str, Any]) -> Wish:
    return Wish(**{**data, "aliases": tuple(data["aliases"]), "links": tuple(data.get("links") or ())})


def of_settings(network: NetworkRecord, settings: Mapping[str, Any], record: Record) -> Wish:
    """From the EndpointSettings of `network connect`. Raises InvalidArgument."""
    check_settings(settings)
    found = wish(network.name, settings, {}, record.id)
    check(network, found)
    return found


def check(network: NetworkRecord, found: Wish) -> None:
    """What this network cannot give. Raises InvalidArgument in Docker's words."""
    if network.builtin and (found.ipv4 or found.ipv6):
        raise InvalidArgument("user specified IP address is supported on user defined networks only")
    if network.builtin and len(found.aliases) > 1:
        raise InvalidArgument(
            "network-scoped alias is supported only for containers in user defined networks"
        )
    if found.mac:
        check_mac(found.mac)


def find(networks: Networks, wishes: tuple[Wish, ...], network: NetworkRecord) -> Wish | None:
    """The wish that means this network, whatever it calls it."""
    for found in wishes:
        record = networks.find(found.network)
        if record is not None and record.id == network.id:
            return found
    return None


def check_company(records: list[NetworkRecord], joins: NetworkRecord | None = None) -> None:
    """Only networks of private sandboxes go together, each once. `joins` is the one that a container
    with its networks is to join. Raises Conflict in Docker's words."""
    if len({record.id for record in records}) < len(records):
        names = [record.name for record in records]
        twice = next(name for name in names if names.count(name) > 1)
        raise Conflict(f"network {twice} is asked for twice", hint="name it once, with all its settings")
    if len(records) < 2:
        return
    for record in records:
        if record.sandbox == "host" and joins is not None and record.id != joins.id:
            raise Conflict(SHARED)
        if record.sandbox != "private":
            raise Conflict(
                _ALONE.get(
                    record.sandbox,
                    f"container cannot be connected to network {record.name} and others at once",
                )
            )


def routed_first(records: list[NetworkRecord], wishes: tuple[Wish, ...]) -> int:
    """Index of the network with the default route: the highest GwPriority, then one that is not
    internal, then the first that was asked for."""
    order = [
        (-wish.priority, record.internal, n)
        for n, (record, wish) in enumerate(zip(records, wishes, strict=True))
    ]
    return min(order)[2]
