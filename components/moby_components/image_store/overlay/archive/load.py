"""docker load: every image of an archive, or none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from moby_components.image_store.overlay.archive.member_file import TarFile
from moby_components.image_store.overlay.archive.reading import Found, read_images
from moby_components.image_store.overlay.archive.streams import spool
from moby_components.image_store.overlay.assembling import Arriving, needed, record, unpack_all
from moby_components.image_store.overlay.content.documents import (
    OCI_CONFIG,
    Blob,
    Manifest,
    chain_ids,
    diff_ids,
    make_manifest,
)
from moby_components.image_store.overlay.content.gzipping import LayerWriter
from moby_components.image_store.overlay.content.index import Image
from moby_components.image_store.overlay.content.leases import Lease
from moby_components.image_store.overlay.layers import Layers
from moby_components.image_store.overlay.stock import Stock
from moby_components.image_store.overlay.threads import all_or_none, in_thread
from moby_py.errors import DataError
from moby_py.model import Progress, ProgressSink

_WHAT = "the archive"
_MEDIA = {
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
}


async def load(
    stock: Stock, layers: Layers, data: AsyncIterator[bytes], progress: ProgressSink | None
) -> list[Image]:
    """Raises DataError; nothing is kept then."""
    limit = 4 * stock.limits.size
    descriptor = await spool(data, stock.blobs, limit)
    with TarFile(descriptor, _WHAT) as tar, stock.leases.hold() as lease:
        await in_thread(tar.inflate, stock.scratch, stock.limits)
        await in_thread(tar.scan)
        found = await in_thread(read_images, tar)
        for image in found:
            lease.add(image.id, *chain_ids(diff_ids(image.document) or []))
        loader = _Loader(stock, layers, tar, lease, progress or (lambda _: None))
        arriving = [await loader.blobs_of(image) for image in found]
        tasks = [asyncio.ensure_future(loader.unpack(image)) for image in arriving]
        await all_or_none(tasks)
        return record(stock, arriving)


class _Loader:
    def __init__(self, stock: Stock, layers: Layers, tar: TarFile, lease: Lease, tell: ProgressSink) -> None:
        self._stock = stock
        self._layers = layers
        self._tar = tar
        self._lease = lease
        self._tell = tell

    async def blobs_of(self, found: Found) -> Arriving:
        """Every blob of one image in the store, and its manifest: the archive's, or one of ours."""
        blobs = self._stock.blobs
        blobs.add(found.config)
        if found.manifest is not None:
            for layer, member in zip(found.manifest.layers, found.members, strict=True):
                await self._copy(member, layer)
            manifest, data = found.manifest, found.manifest_bytes
        else:
            made = []
            for member, diff in zip(found.members, diff_ids(found.document) or (), strict=True):
                made.append(await self._convert(member, diff))
            config = Blob(digest=found.id, size=len(found.config), media_type=OCI_CONFIG)
            data = make_manifest(config, made)
            manifest = Manifest(media_type="", config=config, layers=tuple(made))
        return Arriving(
            manifest=manifest,
            manifest_digest=blobs.add(data),
            config=found.document,
            tags=tuple(found.tags),
        )

    async def unpack(self, image: Arriving) -> None:
        self._lease.add(*needed(image))
        begun: set[Blob] = set()

        def tell(layer: Blob, current: int) -> None:
            short = _short(layer.digest)
            self._tell(Progress(status="Loading layer", id=short, current=current, total=layer.size))

        def started(n: int) -> None:
            begun.add(image.manifest.layers[n])
            tell(image.manifest.layers[n], 0)

        await unpack_all(self._layers, image, started=started)
        for layer in image.manifest.layers:
            if layer in begun:
                tell(layer, layer.size)

    async def _copy(self, member: str, layer: Blob) -> None:
        """A blob as it is in the archive, digest checked."""
        self._lease.add(layer.digest)
        async with self._stock.locks.hold(layer.digest):
            if not self._stock.blobs.exists(layer.digest):
                await in_thread(self._write, member, layer.digest)

    def _write(self, member: str, expected: str) -> str:
        with self._stock.blobs.writer() as writer:
            for chunk in self._tar.chunks(member):
                writer.write(chunk)
            self._lease.add(writer.digest)
            return writer.commit(expected, sync=False)

    async def _convert(self, member: str, diff: str) -> Blob:
        """A layer of a docker-archive: kept when it is compressed already, else compressed now."""
        compression = await in_thread(self._tar.compression, member)
        if compression:
            if compression not in _MEDIA:
                raise DataError(f"cannot load {_WHAT} - layer {member} is compressed as {compression}")
            digest = await in_thread(self._write, member, "")
            size = self._tar.size(member)
            return Blob(digest=digest, size=size, media_type=_MEDIA[compression])
        with LayerWriter(self._stock.blobs) as writer:
            blob, actual = await in_thread(self._compress, writer, member)
            if actual != diff:
                raise DataError(f"cannot load {_WHAT} - layer {member} is not what its image says")
            self._lease.add(blob.digest)
            writer.keep()
        return blob

    def _compress(self, writer: LayerWriter, member: str) -> tuple[Blob, str]:
        for chunk in self._tar.chunks(member):
            writer.write(chunk)
        return writer.finish()


def _short(digest: str) -> str:
    return digest.partition(":")[2][:12]
