"""The facade's methods about files: cp and export."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from moby_py.kinds import Engine
from moby_py.model import PathStat

if TYPE_CHECKING:
    from moby_components.engine.moby.archives.copying import Archives


class ArchiveWords(Engine):
    """Each method hands over to the part that does it."""

    _archives: Archives

    async def archive_stat(self, ref: str, path: str) -> PathStat:
        return await self._archives.stat(ref, path)

    async def archive_get(self, ref: str, path: str) -> tuple[PathStat, AsyncIterator[bytes]]:
        return await self._archives.get(ref, path)

    async def archive_put(
        self,
        ref: str,
        path: str,
        data: AsyncIterator[bytes],
        *,
        overwrite_dir_with_file: bool = True,
        keep_owners: bool = False,
    ) -> None:
        await self._archives.put(
            ref, path, data, overwrite_dir_with_file=overwrite_dir_with_file, keep_owners=keep_owners
        )

    async def export(self, ref: str) -> AsyncIterator[bytes]:
        return await self._archives.export(ref)
