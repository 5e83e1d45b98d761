"""What the engine tells the resolver: who is called what, and who may ask."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Named:
    """One endpoint: what one container is called on one network.

    network:   the network's key, as in `Client.networks`
    container: the container's id; a second `Named` of the same pair replaces the first
    names:     its name first (the one that a reverse look-up gives), then aliases and short id
    addresses: v4 and v6, without prefix length
    domain:    the network's name where `network` is not it, for "name.network"
    """

    network: str
    container: str
    names: tuple[str, ...]
    addresses: tuple[str, ...]
    domain: str = ""

    def plain(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Client:
    """One container that asks.

    sandbox:   path of its network namespace, in which 127.0.0.11 is served; "" with `listen`
    networks:  whose names it may see; the first that knows a name answers, as in Docker
    upstream:  its own resolvers (--dns), asked from inside the sandbox as Docker does; () asks those of
               the host's /etc/resolv.conf from the host
    forward:   False on internal networks only: the host's resolvers are not asked (SERVFAIL, as Docker)
    listen:    for a runtime with a network stack of its own: gateway addresses in `world` that serve at
               port 53 and know the asker by its source address, one of `addresses`
    """

    id: str
    sandbox: str
    networks: tuple[str, ...]
    upstream: tuple[str, ...] = ()
    forward: bool = True
    listen: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    world: str = ""

    def plain(self) -> dict[str, Any]:
        return asdict(self)
