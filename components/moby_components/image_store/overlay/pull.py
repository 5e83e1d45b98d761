"""An image from a registry: resolve, download and unpack all layers side by side, then name it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from moby_components.image_store.overlay.assembling import Arriving, needed, record, unpack_all
from moby_components.image_store.overlay.content.documents import Blob, Manifest, chain_ids, parse_config
from moby_components.image_store.overlay.content.index import Image
from moby_components.image_store.overlay.layers import Layers
from moby_components.image_store.overlay.registry_client import Descriptor, RegistryClient, Resolved
from moby_components.image_store.overlay.stock import Stock
from moby_py.errors import DataError
from moby_py.model import Progress, ProgressSink, RegistryAuth
from moby_py.reference import Reference, parse


class Puller:
    """`parallel` downloads at the same time, over all pulls (Docker's max-concurrent-downloads)."""

    def __init__(self, stock: Stock, layers: Layers, client: RegistryClient, parallel: int) -> None:
        self._stock = stock
        self._layers = layers
        self._client = client
        self._downloads = asyncio.Semaphore(parallel)

    async def pull(
        self, reference: str, platform: str, auth: RegistryAuth | None, progress: ProgressSink | None
    ) -> Image:
        """Everything or nothing. Two pulls of the same layer share its download and its unpacking."""
        name = parse(reference)
        tell = progress or (lambda _: None)
        tell(Progress(status=f"Pulling from {name.path}", id=name.target))
        resolved = await self._client.resolve(name, platform, auth)
        with self._stock.leases.hold((resolved.config.digest, resolved.manifest_digest)) as lease:
            image = await self._arriving(name, resolved, auth)
            lease.add(*needed(image))
            await self._layers_of(image, resolved, auth, tell)
            before = self._stock.index.image_by_name(_name_of(name))
            (made,) = record(self._stock, [image])
        tell(Progress(status=f"Digest: {resolved.digest}"))
        news = "Image is up to date for" if before == made.id else "Downloaded newer image for"
        tell(Progress(status=f"Status: {news} {name.familiar()}"))
        return made

    async def _arriving(self, name: Reference, resolved: Resolved, auth: RegistryAuth | None) -> Arriving:
        blobs = self._stock.blobs
        digest = resolved.config.digest
        if blobs.exists(digest):
            data = blobs.read(digest)
        else:
            data = await self._client.fetch_bytes(resolved.reference, resolved.config, auth)
        config = parse_config(data, digest)
        image = Arriving(
            manifest=Manifest(
                media_type=resolved.manifest_media_type,
                config=_blob(resolved.config),
                layers=tuple(_blob(layer) for layer in resolved.layers),
            ),
            manifest_digest=resolved.manifest_digest,
            config=config,
            tags=() if name.digest else (str(name),),
            digests=(f"{name.name}@{resolved.digest}",),
        )
        image.diffs()
        for content, expected in ((data, digest), (resolved.manifest, resolved.manifest_digest)):
            if not blobs.exists(expected) and blobs.add(content) != expected:
                blobs.remove(expected)
                raise DataError(f"cannot pull {name}: blob {expected} has another digest")
        return image

    async def _layers_of(
        self, image: Arriving, resolved: Resolved, auth: RegistryAuth | None, tell: ProgressSink
    ) -> None:
        stock = self._stock
        chains = chain_ids(image.diffs())
        ids = [layer.digest.partition(":")[2][:12] for layer in resolved.layers]
        fresh: set[int] = set()
        for n, layer in enumerate(resolved.layers):
            there = stock.index.layer(chains[n]) is not None and stock.blobs.exists(layer.digest)
            tell(Progress(status="Already exists" if there else "Pulling fs layer", id=ids[n]))
            if not there:
                fresh.add(n)

        async def fetch(n: int) -> None:
            layer = resolved.layers[n]
            await self._fetch(resolved.reference, layer, auth, _report(tell, "Downloading", ids[n]))
            if n in fresh:
                tell(Progress(status="Download complete", id=ids[n]))

        def started(n: int) -> None:
            tell(Progress(status="Extracting", id=ids[n], total=resolved.layers[n].size))

        await unpack_all(self._layers, image, fetch=fetch, started=started)
        for n in sorted(fresh):
            tell(Progress(status="Pull complete", id=ids[n]))

    async def _fetch(
        self,
        reference: Reference,
        layer: Descriptor,
        auth: RegistryAuth | None,
        report: Callable[[int, int], None],
    ) -> None:
        """Have the blob. A second caller waits for the first, and does it itself if that one failed."""
        stock = self._stock
        async with stock.locks.hold(layer.digest):
            if stock.blobs.exists(layer.digest):
                return
            path = stock.blobs.temporary()
            async with self._downloads:
                try:
                    await self._client.fetch_blob(reference, layer, path, report, auth)
                    stock.blobs.adopt(path, layer.digest)
                finally:
                    path.unlink(missing_ok=True)


def _report(tell: ProgressSink, status: str, short: str) -> Callable[[int, int], None]:
    return lambda done, total: tell(Progress(status=status, id=short, current=done, total=total))


def _blob(descriptor: Descriptor) -> Blob:
    return Blob(digest=descriptor.digest, size=descriptor.size, media_type=descriptor.media_type)


def _name_of(name: Reference) -> str:
    return f"{name.name}@{name.digest}" if name.digest else str(name)
