"""The host ports of containers: held for as long as they are published, by sockets that also carry what
portmap's rules cannot turn - [::1], and IPv6 clients of a container without IPv6."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence

from moby_components.common.bridging.ports import Ports
from moby_components.common.bridging.relay import Relay
from moby_py.model import PortBinding


class Relays:
    """By owner, a container on a network. Used on the event loop."""

    def __init__(self, log: logging.Logger) -> None:
        self._ports = Ports()
        self._log = log
        self._relays: dict[str, Relay] = {}

    async def take(
        self, owner: str, wanted: Sequence[PortBinding], *, addresses: Sequence[str], host_ip: str
    ) -> tuple[PortBinding, ...]:
        """All or none. Raises as `bridging.ports.Ports.take`."""
        await self.drop(owner)
        return self._ports.take(owner, wanted, addresses=addresses, host_ip=host_ip)

    def keep(self, owner: str, bindings: Sequence[PortBinding]) -> list[str]:
        """Ports of an earlier life of the daemon; what could not be held is returned. Idempotent."""
        return self._ports.keep(owner, bindings) if bindings else []

    async def carry(self, owner: str, address: str) -> None:
        """From now on what arrives at the sockets goes to `address`. Idempotent."""
        listeners = self._ports.listeners(owner)
        if listeners and address and owner not in self._relays:
            self._relays[owner] = Relay(_connect, self._log, listeners, address)

    async def drop(self, owner: str) -> None:
        """Idempotent."""
        relay = self._relays.pop(owner, None)
        if relay is not None:
            await relay.close()
        self._ports.drop(owner)

    async def close(self) -> None:
        for owner in list(self._relays):
            await self.drop(owner)
        self._ports.close()


async def _connect(address: str, port: int) -> socket.socket:
    """To the container; the host is its neighbour. Raises OSError, which takes in a time-out."""
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    made.setblocking(False)
    try:
        async with asyncio.timeout(10):
            await asyncio.get_running_loop().sock_connect(made, (address, port))
    except BaseException:
        made.close()
        raise
    return made
