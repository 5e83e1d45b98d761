"""The file half of the API tests' engine: what was put at a path comes back from it."""

from __future__ import annotations

import stat

from moby_py.errors import NotFound, PermissionDenied
from moby_py.kinds import Engine
from moby_py.model import PathStat


class DoubleArchives(Engine):
    archives: dict[str, bytes]

    async def archive_stat(self, ref, path):
        await self.inspect(ref)
        if path not in (*self.archives, "/", "/link"):
            raise NotFound(f"Could not find the file {path} in container {ref}")
        if path == "/link":
            return PathStat(name="link", size=2, mode=stat.S_IFLNK | 0o777, modified=1.5, link_target="/to")
        name = path.rpartition("/")[2] or "/"
        return PathStat(name=name, size=3, mode=stat.S_IFDIR | 0o1755, modified=1_000_000_000.25)

    async def archive_get(self, ref, path):
        return await self.archive_stat(ref, path), self._pieces(self.archives.get(path, b""))

    async def archive_put(self, ref, path, data, *, overwrite_dir_with_file=True, keep_owners=False):
        await self.inspect(ref)
        if path == "/ro":
            raise PermissionDenied("container rootfs is marked read-only")
        self.archives[path] = b"".join([piece async for piece in data])
        self.calls.append(("put", path, overwrite_dir_with_file, keep_owners))

    async def export(self, ref):
        await self.inspect(ref)
        return self._pieces(b"all of it")

    async def _pieces(self, data):
        for at in range(0, len(data), 1000):
            yield data[at : at + 1000]
