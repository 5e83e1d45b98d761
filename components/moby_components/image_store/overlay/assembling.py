"""The last steps of every way in - pull, load, import, commit: unpack all layers, then write the index.

Until the index is written nothing of it exists; a failure before leaves blobs and layers that nobody
names, and they are swept at once unless somebody else is using them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from moby_components.image_store.overlay.content.documents import Manifest, chain_ids, diff_ids
from moby_components.image_store.overlay.content.index import Image, ImageLayer, new_image
from moby_components.image_store.overlay.layers import Layers
from moby_components.image_store.overlay.stock import Stock
from moby_components.image_store.overlay.threads import all_or_none
from moby_py.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Arriving:
    """An image whose config and manifest are known: `tags` and `digests` it will be called by."""

    manifest: Manifest
    manifest_digest: str
    config: dict[str, Any]
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return self.manifest.config.digest

    def diffs(self) -> list[str]:
        """Raises DataError where manifest and config disagree."""
        diffs = diff_ids(self.config) or []
        if len(diffs) != len(self.manifest.layers):
            raise DataError(
                f"image {self.id} contradicts itself - {len(self.manifest.layers)} layers in its manifest, "
                f"{len(diffs)} in its config"
            )
        return diffs


def needed(image: Arriving) -> set[str]:
    """Everything to lease for it: blobs and chains."""
    blobs = {image.id, image.manifest_digest, *(layer.digest for layer in image.manifest.layers)}
    return blobs | set(chain_ids(image.diffs()))


async def unpack_all(
    layers: Layers,
    image: Arriving,
    *,
    fetch: Callable[[int], Coroutine[Any, Any, object]] | None = None,
    started: Callable[[int], None] | None = None,
) -> None:
    """All layers side by side; `fetch(n)` brings the blob of layer n first, `started(n)` says that it
    is being unpacked. The first failure stops the others and is raised."""
    diffs = image.diffs()
    chains = chain_ids(diffs)
    tasks: list[asyncio.Task[object]] = []

    async def one(n: int) -> object:
        if fetch is not None:
            await fetch(n)
        return await layers.ensure(
            chains[n],
            chains[n - 1] if n else "",
            diffs[n],
            image.manifest.layers[n].digest,
            below=(lambda: ended(tasks[n - 1])) if n else None,
            started=(lambda: started(n)) if started is not None else None,
        )

    async def ended(task: asyncio.Task[object]) -> None:
        await asyncio.wait([task])
        task.result()

    for n in range(len(chains)):
        tasks.append(asyncio.ensure_future(one(n)))
    await all_or_none(tasks)


def record(stock: Stock, images: Sequence[Arriving]) -> list[Image]:
    """Write the index: all images and their names, in one step."""
    rows: list[tuple[Image, Sequence[str], Sequence[str]]] = []
    for image in images:
        made = [
            ImageLayer(chain=chain, diff=diff, blob=layer.digest)
            for chain, diff, layer in zip(
                chain_ids(image.diffs()), image.diffs(), image.manifest.layers, strict=True
            )
        ]
        row = new_image(image.id, image.manifest_digest, made, stock.boot)
        rows.append((row, image.tags, image.digests))
    stock.index.put_images(rows)
    return [row for row, _, _ in rows]
