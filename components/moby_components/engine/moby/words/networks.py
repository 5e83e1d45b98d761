"""The networks of a platform, in Docker's words."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from moby_py.errors import MobyError, PermissionDenied
from moby_py.kinds import Engine
from moby_py.model import NetworkRecord

if TYPE_CHECKING:
    from moby_components.engine.moby.core import Core


class NetworkWords(Engine):
    """The part of the facade about networks."""

    @property
    @abstractmethod
    def _core(self) -> Core: ...

    async def networks(self) -> Sequence[NetworkRecord]:
        return self._core.networks.all()

    async def network_inspect(self, network: str) -> NetworkRecord:
        return self._core.networks.get(network)

    async def network_create(
        self,
        name: str,
        *,
        driver: str = "",
        internal: bool = False,
        attachable: bool = False,
        ipv6: bool = False,
        ipam: Mapping[str, Any] | None = None,
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> NetworkRecord:
        core = self._core
        made = await core.networks.create(
            name,
            driver=driver,
            internal=internal,
            attachable=attachable,
            ipv6=ipv6,
            ipam=ipam,
            options=options,
            labels=labels,
        )
        core.events.emit("network", "create", made.id, {"name": made.name, "type": made.driver})
        return made

    async def network_remove(self, network: str) -> None:
        core = self._core
        record = core.networks.get(network)

        def check_unused() -> None:
            users = [
                entry
                for entry in core.entries.values()
                if any(note["network_id"] == record.id for note in entry.record.attachments)
            ]
            if users:
                shown = ", ".join(f'name:"{entry.record.name}" id:"{entry.id[:12]}"' for entry in users)
                raise PermissionDenied(
                    f"error while removing network: network {record.name} has active endpoints ({shown})",
                    hint=f"docker network disconnect {record.name} {users[0].record.name}",
                )

        await core.networks.remove(record, check_unused)
        core.events.emit("network", "destroy", record.id, {"name": record.name, "type": record.driver})

    async def network_connect(self, network: str, ref: str, settings: Mapping[str, Any]) -> None:
        from moby_components.engine.moby.networking import live

        core = self._core
        record = core.networks.get(network)
        async with core.locked(ref) as entry:
            await live.connect(core, entry, record, settings)

    async def network_disconnect(self, network: str, ref: str, *, force: bool = False) -> None:
        from moby_components.engine.moby.networking import live

        core = self._core
        record = core.networks.get(network)
        try:
            core.get(ref)
        except MobyError:
            if force:  # Docker: an endpoint whose container is gone; none of ours outlives it
                return
            raise
        async with core.locked(ref) as entry:
            await live.disconnect(core, entry, record, force=force)
