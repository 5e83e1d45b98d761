"""One container that asks: what it sees, whom its other questions go to, and how much it may have
under way at once."""

from __future__ import annotations

from moby_components.common.dns.process.spaces import of_socket
from moby_components.common.dns.process.upstream import MOST, Host, server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from moby_components.common.dns.process.door import Door
    from moby_components.common.dns.process.forward import Forward
    from moby_components.common.dns.process.upstream import Server

MOST_FORWARDS = 128
MOST_CONNECTIONS = 16
OURSELVES = "127.0.0.11"


class Asker:
    """A `records.Client` as the process holds it. `door` is its own one in its sandbox, None for one
    that comes to a gateway."""

    __slots__ = ("connections", "door", "forwards", "identity", "upstream", "visible", "wanted")

    def __init__(self, wanted: Mapping[str, Any]) -> None:
        self.door: Door | None = None
        self.identity = (0, 0)
        self.forwards: set[Forward] = set()
        self.connections = 0
        self.update(wanted)

    def update(self, wanted: Mapping[str, Any]) -> None:
        """What may change while its sockets stay."""
        self.wanted = wanted
        self.visible: tuple[str, ...] = tuple(wanted["networks"])
        given = (server(text) for text in wanted["upstream"] if text != OURSELVES)
        self.upstream: tuple[Server, ...] = tuple(one for one in given if one is not None)[:MOST]

    def servers(self, host: Host) -> tuple[tuple[Server, ...], bool]:
        """Whom to ask, and whether from the host. A container on internal networks only never makes
        the host ask for it: its own resolvers are asked from inside its sandbox, where they can be
        reached or not, and for one without a sandbox nobody is."""
        from_host = not self.wanted["upstream"] or self.door is None
        if from_host and not self.wanted["forward"]:
            return (), True
        return (self.upstream if self.wanted["upstream"] else host.servers()), from_host

    def space(self) -> int:
        """A descriptor of the namespace in which its own resolvers are asked."""
        assert self.door is not None  # noqa: S101 - `servers` said so
        return of_socket(self.door.udps[0])
