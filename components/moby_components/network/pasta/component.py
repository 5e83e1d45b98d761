"""The `network` contract on bridges in a world of the platform's own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from moby_components.common import predefined
from moby_components.common.bridging import BridgedNetwork, Bridges, Defaults
from moby_components.common.forward import Forwarder
from moby_components.network.pasta import uplink
from moby_components.network.pasta.publishing import Publishing, owner_of
from moby_components.network.pasta.world import PinnedWorld
from moby_py.component import Context, Service
from moby_py.model import Attachment, AttachRequest, Endpoint, NetworkRecord
from moby_py.needs import Feature, Need

PATIENCE = 2.0
"""Seconds after the start that containers wait for an uplink; a host that is offline has none."""


class PastaNetwork(BridgedNetwork):
    """Ordinary networks for a platform of an ordinary user; "host" and "none" for those who ask."""

    name: ClassVar[str] = "pasta"
    summary: ClassVar[str] = "bridge networks without root, in a namespace that pasta or slirp4netns links"
    drivers: ClassVar[tuple[str, ...]] = ("bridge", "pasta")
    needs: ClassVar[tuple[Need, ...]] = (
        Feature("user-namespaces", why="networks of an ordinary user's own"),
        Feature("tun", why="the interface that leads outside"),
        Feature("private-networks", why="networks, made in a network namespace of the platform's own"),
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        run = context.dirs.run
        self._pinned = PinnedWorld(run / "world", run / "uplink.pid")
        self._forwarder = Forwarder(run, self.log, udp_idle=float(self.options["udp_idle"]))
        self._publishing = Publishing(self._forwarder, self.world)
        self._bridges = Bridges(
            context.platform.name,
            world=self.world,
            part=context.id,
            defaults=Defaults(mtu=self.options["mtu"]),
            log=self.log,
        )
        self._attached: set[str] = set()
        self._linking: asyncio.Task[None] | None = None
        self._open = False

    @classmethod
    def needs_for(cls, options: Mapping[str, Any]) -> tuple[Need, ...]:
        return (uplink.program(options), *cls.needs)

    @property
    def world(self) -> str:
        return str(self.context.dirs.run / "world")

    def services(self) -> Sequence[Service]:
        need = uplink.program(self.options)
        name, path = next(iter(self.context.binaries.items()), (need.name, Path(need.name)))
        arguments = uplink.arguments(
            name, self._pinned.path, self.options["uplink_subnet"], root=not self.context.platform.rootless
        )
        link = uplink.service((str(path), *arguments), self._pinned.path, self._pinned.record)
        return (self._forwarder.service(), link)

    def predefined(self) -> Sequence[NetworkRecord]:
        default = predefined.default("bridge")
        return (default, *predefined.records("host", "none"))

    async def open(self) -> None:
        if self._open:
            return
        fresh = self._pinned.pin()
        try:
            await self._pinned.furnish()
            await self._forwarder.open()
            await self._bridges.open()
        except BaseException:
            await self._forwarder.close()
            if fresh:
                self._pinned.unpin()
            raise
        self._open = True
        self._linking = asyncio.create_task(self._watch_link(), name="uplink")

    async def close(self) -> None:
        """Where no container is left, the world goes too."""
        if not self._open:
            return
        self._open = False
        if self._linking is not None:
            self._linking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._linking
        await self._forwarder.close()
        await self._bridges.close()
        if not self._attached:
            self._pinned.unpin()

    async def attach(self, request: AttachRequest) -> Attachment:
        if request.network.sandbox != "private":
            return predefined.idle(request)
        if self._linking is not None and not self._linking.done():
            await asyncio.wait([self._linking], timeout=PATIENCE)
        attachment = await self._bridges.attach(replace(request, ports=()))
        self._attached.add(owner_of(request))
        if request.network.internal or not request.ports:
            return attachment
        try:
            return replace(attachment, ports=await self._publishing.publish(request))
        except BaseException:
            await self.detach(request, attachment)
            raise

    async def detach(self, request: AttachRequest, attachment: Attachment | None) -> None:
        if request.network.sandbox != "private":
            return
        try:
            await self._publishing.withdraw(request)
        finally:
            await self._bridges.detach(request)
            self._attached.discard(owner_of(request))

    async def recover(self, endpoints: Sequence[Endpoint]) -> None:
        ours = [e for e in endpoints if e.request.network.sandbox == "private"]
        self._attached = {owner_of(e.request) for e in ours}
        # Their ports are the forwarder's, not rules of the bridges.
        bare = [
            Endpoint(request=replace(e.request, ports=()), attachment=replace(e.attachment, ports=()))
            for e in ours
        ]
        await self._bridges.recover(bare)
        for error in (await self._publishing.recover(ours)).values():
            self.log.error("a published port did not come back: %s", error)

    async def _watch_link(self) -> None:
        """Ends when the uplink is there, or after a while without one."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._pinned.linked()
        except TimeoutError:
            self.log.warning(
                "there is no way out of the containers' networks yet: the uplink has not come up after %g s "
                "(a host without a default route has none to offer)",
                PATIENCE,
            )
