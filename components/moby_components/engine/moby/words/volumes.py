"""The volume methods of the facade."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING

from moby_components.engine.moby.rendering.shape import check_volume_shape
from moby_py.kinds import Engine
from moby_py.model import Volume

if TYPE_CHECKING:
    from moby_components.engine.moby.volumes import Volumes


class VolumeWords(Engine):
    """Each method hands over to the part that does it."""

    _volumes: Volumes

    async def volume_create(
        self,
        name: str = "",
        *,
        driver: str = "",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Volume:
        check_volume_shape(name, driver, options, labels)
        planned = self._volumes.plan(name, driver=driver, options=options, labels=labels)
        return await self._volumes.create(planned)

    async def volumes(self) -> Sequence[Volume]:
        return self._volumes.all()

    async def volume_inspect(self, name: str) -> Volume:
        return await self._volumes.inspect(name)

    async def volume_remove(self, name: str, *, force: bool = False) -> None:
        await self._volumes.remove(name, force=force)

    async def volume_usage(self, name: str) -> int:
        return await self._volumes.usage(name)

    async def volume_export(self, name: str) -> AsyncIterator[bytes]:
        return self._volumes.transfer.export(name)

    async def volume_import(self, name: str, data: AsyncIterator[bytes]) -> Volume:
        return await self._volumes.transfer.import_(name, data)

    async def volume_clone(self, source: str, name: str) -> Volume:
        return await self._volumes.transfer.clone(source, name)
