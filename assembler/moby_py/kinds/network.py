"""The `network` kind: joins containers to networks.

Names and ids: methods take a network's id, name or unambiguous id prefix. A component brings its
predefined networks itself (`none` brings "none"; `host` brings "host" and "none"; `bridge` brings
"bridge", "host" and "none"); `default` names the one for containers that ask for none.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from moby_py.component import Component
from moby_py.model import Attachment, AttachRequest, NetworkRecord


class Network(Component):
    """All methods may be called concurrently."""

    kind = "network"
    default: ClassVar[str] = "none"
    drivers: ClassVar[tuple[str, ...]] = ()
    """Driver names `create` accepts; empty: it makes no networks of the user's."""

    @abstractmethod
    async def list(self) -> Sequence[NetworkRecord]:
        """All networks, predefined first, then by name."""

    @abstractmethod
    async def inspect(self, network: str) -> NetworkRecord:
        """Raises NotFound "network NAME not found"."""

    @abstractmethod
    async def create(
        self,
        name: str,
        *,
        driver: str = "",
        internal: bool = False,
        ipv6: bool = False,
        ipam: Mapping[str, object] | None = None,
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> NetworkRecord:
        """Raises AlreadyExists, InvalidArgument, Unsupported."""

    @abstractmethod
    async def remove(self, network: str) -> None:
        """Raises Conflict for predefined networks and while endpoints are attached."""

    @abstractmethod
    async def attach(self, request: AttachRequest) -> Attachment:
        """Join. Idempotent for (container, network): after a daemon crash the same addresses come
        back. A failed attach leaves nothing behind."""

    @abstractmethod
    async def detach(self, container_id: str, network_id: str) -> None:
        """Leave and free addresses and ports. Idempotent; the sandbox may already be gone."""

    @abstractmethod
    async def recover(self, live: Sequence[str]) -> None:
        """After a daemon start: free what belongs to containers not in `live`."""
