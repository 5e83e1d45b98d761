"""The names of all networks, and the look-up among those that one asker may see."""

from __future__ import annotations

import socket

from moby_components.common.dns.process.wire import AAAA, PTR, A, encode_name, record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any


class Endpoint:
    """One container on one network, its answers encoded once."""

    __slots__ = ("names", "reverse", "reverse_names", "v4", "v6")

    def __init__(self, names: Iterable[str], addresses: Iterable[str], domain: str) -> None:
        given = tuple(names)
        self.names = tuple({name.lower().encode() for name in given if name})
        self.v4: list[bytes] = []
        self.v6: list[bytes] = []
        self.reverse_names: list[bytes] = []
        for address in addresses:
            if ":" in address:
                packed = socket.inet_pton(socket.AF_INET6, address)
                self.v6.append(record(AAAA, packed))
                parts, zone = list(packed.hex()), "ip6.arpa"
            else:
                packed = socket.inet_pton(socket.AF_INET, address)
                self.v4.append(record(A, packed))
                parts, zone = [str(part) for part in packed], "in-addr.arpa"
            self.reverse_names.append(f"{'.'.join(reversed(parts))}.{zone}".encode())
        pointer = encode_name(f"{given[0]}.{domain}") if given else b""
        self.reverse = record(PTR, pointer) if pointer else b""


class Network:
    """The endpoints of one network by every name that they answer to."""

    __slots__ = ("by_container", "by_name", "by_reverse", "suffix")

    def __init__(self) -> None:
        self.suffix = b""
        self.by_container: dict[str, Endpoint] = {}
        self.by_name: dict[bytes, list[Endpoint]] = {}
        self.by_reverse: dict[bytes, Endpoint] = {}

    def add(self, container: str, endpoint: Endpoint) -> None:
        self.remove(container)
        self.by_container[container] = endpoint
        for name in endpoint.names:
            self.by_name.setdefault(name, []).append(endpoint)
        for name in endpoint.reverse_names:
            self.by_reverse[name] = endpoint

    def remove(self, container: str) -> None:
        endpoint = self.by_container.pop(container, None)
        if endpoint is None:
            return
        for name in endpoint.names:
            sharing = self.by_name[name]
            sharing.remove(endpoint)
            if not sharing:
                del self.by_name[name]
        for name in endpoint.reverse_names:
            if self.by_reverse.get(name) is endpoint:
                del self.by_reverse[name]


class Names:
    """All networks."""

    def __init__(self) -> None:
        self.networks: dict[str, Network] = {}
        self._turn = 0

    def name(self, named: Mapping[str, Any]) -> None:
        """Add or replace one endpoint. Raises OSError for an address that is none."""
        domain = named["domain"] or named["network"]
        endpoint = Endpoint(named["names"], named["addresses"], domain)
        network = self.networks.setdefault(named["network"], Network())
        if named["domain"] or not network.suffix:
            network.suffix = b"." + domain.lower().encode()
        network.add(named["container"], endpoint)

    def unname(self, container: str, network: str) -> None:
        """Remove one endpoint. Idempotent."""
        found = self.networks.get(network)
        if found is not None:
            found.remove(container)
            if not found.by_container:
                del self.networks[network]

    def clear(self) -> None:
        self.networks.clear()

    def addresses(self, visible: Iterable[str], name: bytes) -> tuple[list[bytes], list[bytes]] | None:
        """Records (A, AAAA) of a name; None: not a name of ours. "name" and "name.network"; the first
        visible network that has a family answers for it, as in Docker. Rotated at every call."""
        if not name:
            return None
        v4: list[bytes] = []
        v6: list[bytes] = []
        ours = False
        for key in visible:
            network = self.networks.get(key)
            if network is None:
                continue
            endpoints = network.by_name.get(name)
            if endpoints is None and name.endswith(network.suffix):
                endpoints = network.by_name.get(name[: -len(network.suffix)])
            if endpoints is None:
                continue
            ours = True
            if not v4:
                v4 = [one for endpoint in endpoints for one in endpoint.v4]
            if not v6:
                v6 = [one for endpoint in endpoints for one in endpoint.v6]
        if not ours:
            return None
        self._turn += 1
        return self._rotated(v4), self._rotated(v6)

    def reverse(self, visible: Iterable[str], name: bytes) -> bytes | None:
        """The PTR record for "4.3.2.1.in-addr.arpa"; None: not an address of ours."""
        for key in visible:
            network = self.networks.get(key)
            endpoint = network.by_reverse.get(name) if network else None
            if endpoint is not None:
                return endpoint.reverse or None
        return None

    def _rotated(self, records: list[bytes]) -> list[bytes]:
        if len(records) < 2:
            return records
        first = self._turn % len(records)
        return records[first:] + records[:first]
