"""The `network` contract for bridges in one world: `Site` does the work, in the world's thread."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence
from dataclasses import replace

from moby_components.common.bridging import names
from moby_components.common.bridging.hostfirewall import LEAVE
from moby_components.common.bridging.plan import Defaults, make_plan
from moby_components.common.bridging.relay import Relay
from moby_components.common.bridging.site import Site, key_of
from moby_components.common.bridging.watch import Watch
from moby_components.common.bridging.world import World
from moby_py.errors import MobyError, Unavailable
from moby_py.model import Attachment, AttachRequest, Endpoint, NetworkRecord


class Bridges:
    """The `network` contract for bridge networks in the namespace `world` ("": the host's own).

    `platform` names interfaces and tables; `part` tells two worlds of one platform apart;
    `host_firewall` is a mode of `hostfirewall`. All methods may be called concurrently, from one event
    loop; the work is done by the world's thread.
    """

    def __init__(
        self,
        platform: str,
        *,
        world: str = "",
        part: str = "",
        defaults: Defaults | None = None,
        host_firewall: str = LEAVE,
        log: logging.Logger | None = None,
    ) -> None:
        self.table = names.table(platform, part)
        self.defaults = defaults or Defaults()
        self._log = log or logging.getLogger(__name__)
        self._world = World(world)
        self._site = Site(self.table, self._world, self.defaults, host_firewall, self._log)
        self._watch = Watch(self._world, self._look_again, self._log)
        self._relays: dict[str, Relay] = {}

    def plan(self, draft: NetworkRecord) -> NetworkRecord:
        """The record completed. Raises InvalidArgument. No side effect."""
        make_plan(draft, self._site.tag, self.defaults)
        return replace(draft, sandbox="private", addressing="engine", names="engine")

    async def check(self, draft: NetworkRecord) -> None:
        """Raises PermissionDenied for a subnet in which the host itself lives. No side effect."""
        await self._world.run(lambda: self._site.check(draft))

    async def open(self) -> None:
        """Rules of an earlier life stay in force until `recover` replaces them."""
        await self._watch.open()

    async def close(self) -> None:
        """Let go of sockets and threads. Where no container is left, everything else goes too."""
        await self._watch.close()
        for relay in self._relays.values():
            await relay.close()
        self._relays.clear()
        await self._world.run(self._site.clear_unless_used)
        await self._world.run(self._site.ports.close)
        await self._world.close()

    async def create(self, record: NetworkRecord) -> None:
        await self._world.run(lambda: self._site.create(record))
        await self._world.run(self._site.tell_firewall)

    async def remove(self, record: NetworkRecord) -> None:
        await self._world.run(lambda: self._site.remove(record))
        await self._world.run(self._site.tell_firewall)

    async def attach(self, request: AttachRequest) -> Attachment:
        try:
            attachment = await self._world.run(lambda: self._site.attach(request))
            await self._relay(key_of(request))
        except OSError as error:
            await self.detach(request)
            raise Unavailable(
                f"cannot publish the ports of {request.container_name} - {(error.strerror or '').lower()}",
                hint="publish fewer ports, or start the platform with a higher limit (ulimit -n)",
            ) from error
        except BaseException as error:
            if not isinstance(error, MobyError):  # cancelled: it may have come to its end all the same
                await self.detach(request)
            raise
        return attachment

    async def detach(self, request: AttachRequest) -> None:
        relay = self._relays.pop(key_of(request), None)
        if relay:
            await relay.close()
        await self._world.run(lambda: self._site.detach(request))

    async def recover(self, endpoints: Sequence[Endpoint]) -> None:
        await self._world.run(lambda: self._site.recover(endpoints))
        for key in list(self._site.legs):
            try:
                await self._relay(key)
            except OSError as error:
                self._log.warning("[::1] does not lead to the ports of %s: %s", key, error.strerror)

    async def _relay(self, key: str) -> None:
        """Accept at the sockets that hold the endpoint's ports; idempotent while they are the same."""
        listeners, old = self._site.ports.listeners(key), self._relays.get(key)
        if old and old.listeners == listeners:
            return
        if old:
            del self._relays[key]
            await old.close()
        leg = self._site.legs.get(key)
        if leg and listeners:
            self._relays[key] = Relay(self._connect, self._log, listeners, leg.address)

    async def _connect(self, address: str, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        made = await self._world.run(lambda: socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC))
        try:
            made.setblocking(False)
            await asyncio.get_running_loop().sock_connect(made, (address, port))
        except BaseException:
            made.close()
            raise
        return made

    async def _look_again(self) -> None:
        """Somebody changed the host's rules."""
        await self._world.run(self._site.mend)
