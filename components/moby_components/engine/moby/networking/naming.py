"""Container names on networks: what the resolver is told, and what /etc/resolv.conf says.

On networks whose names are the engine's a container is found under its name, its aliases, its short
id and its host name, by containers on the same network only - Docker's rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from moby_components.engine.moby.entry import Entry
from moby_components.engine.moby.networking.networks import Networks
from moby_components.engine.moby.networking.records import load_attachment, load_request
from moby_py.errors import MobyError
from moby_py.model import Attachment, AttachRequest, NetworkRecord

if TYPE_CHECKING:
    from moby_components.common.dns import Client, Named, Resolver

EMBEDDED = "127.0.0.11"


def dns_names(request: AttachRequest) -> tuple[str, ...]:
    """What a container is called on one network."""
    return tuple(dict.fromkeys(n for n in (request.container_name, *request.aliases, request.hostname) if n))


class Naming:
    """Without a resolver (no component of the platform needs one) all calls do nothing."""

    def __init__(self, networks: Networks, resolver: Resolver | None) -> None:
        self._networks = networks
        self._resolver = resolver

    def servers(self, joined: Iterable[tuple[AttachRequest, Attachment]]) -> tuple[str, ...]:
        """For /etc/resolv.conf; empty: the host's own."""
        found: list[str] = []
        embedded: list[str] = []
        for request, attachment in joined:
            if request.network.names == "engine" and self._resolver is not None:
                if not request.own_stack:
                    embedded.append(EMBEDDED)
                else:
                    embedded += self._gateways(request.network, attachment)[:1]
            else:
                found += attachment.dns
        return tuple(dict.fromkeys([*embedded[:1], *([] if embedded else found)]))

    async def update(self, entry: Entry) -> None:
        """Tell the resolver where this container is now, and serve it."""
        if self._resolver is None:
            return
        client = self._client(entry)
        if client is not None:
            await self._resolver.name(*self._named(entry))
            await self._resolver.serve(client)

    async def forget(self, entry: Entry, networks: Sequence[str]) -> None:
        """It leaves these networks; one that is on no other is not served any more."""
        if self._resolver is None:
            return
        for network in networks:
            await self._resolver.unname(entry.id, network)
        client = self._client(entry, without=frozenset(networks))
        if client is None:
            await self._resolver.dismiss(entry.id)
        else:
            await self._resolver.serve(client)

    async def sync(self, entries: Iterable[Entry]) -> None:
        """After a start of the daemon: the whole truth."""
        if self._resolver is None:
            return
        living = list(entries)
        clients = [client for client in map(self._client, living) if client is not None]
        await self._resolver.sync([named for entry in living for named in self._named(entry)], clients)

    # -- inside ----------------------------------------------------------------------------------

    def _joined(self, entry: Entry) -> list[tuple[AttachRequest, Attachment]]:
        found = []
        for data in entry.record.attachments:
            attachment = load_attachment(data["attachment"])
            try:
                network = self._networks.get(data["network_id"])
            except MobyError:
                continue
            if attachment is not None and network.names == "engine":
                found.append((load_request(data["request"], network), attachment))
        return found

    def _gateways(self, network: NetworkRecord, attachment: Attachment) -> list[str]:
        """Also of an internal network, which routes nothing over them."""
        return [g for g in self._networks.gateways(network, attachment.ipv4, attachment.ipv6) if g]

    def _attached(self, entry: Entry) -> list[NetworkRecord]:
        ids = {data["network_id"] for data in entry.record.attachments}
        return [network for network in self._networks.all() if network.id in ids]

    def _named(self, entry: Entry) -> list[Named]:
        from moby_components.common.dns import Named

        return [
            Named(
                network=request.network.id,
                container=entry.id,
                names=dns_names(request),
                addresses=tuple(bare(a) for a in (attachment.ipv4, attachment.ipv6) if a),
                domain=request.network.name,
            )
            for request, attachment in self._joined(entry)
        ]

    def _client(self, entry: Entry, without: frozenset[str] = frozenset()) -> Client | None:
        from moby_components.common.dns import Client

        joined = [pair for pair in self._joined(entry) if pair[0].network.id not in without]
        if not joined:
            return None
        own_stack = any(request.own_stack for request, _ in joined)
        worlds = {self._networks.component_of(request.network).world for request, _ in joined}
        gateways = [g for request, a in joined for g in self._gateways(request.network, a)]
        return Client(
            id=entry.id,
            sandbox="" if own_stack else joined[0][0].sandbox.path,
            networks=tuple(request.network.id for request, _ in joined),
            upstream=tuple(entry.record.host.get("Dns") or ()),
            forward=any(
                not network.internal for network in self._attached(entry) if network.id not in without
            ),
            listen=tuple(dict.fromkeys(gateways)) if own_stack else (),
            addresses=tuple(bare(x) for _, a in joined for x in (a.ipv4, a.ipv6) if x) if own_stack else (),
            world=sorted(worlds)[-1] if own_stack else "",
        )


def bare(address: str) -> str:
    return address.partition("/")[0]
