"""An image to a registry: what it lacks, layers first, the manifest last."""

from __future__ import annotations

import asyncio

from moby_components.image_store.overlay.content.documents import Blob, parse_manifest
from moby_components.image_store.overlay.registry_client import RegistryClient
from moby_components.image_store.overlay.stock import Stock
from moby_components.image_store.overlay.threads import all_or_none
from moby_py.errors import NotFound
from moby_py.model import Progress, ProgressSink, RegistryAuth
from moby_py.reference import Reference, parse

_PARALLEL = 5
"""Docker's max-concurrent-uploads."""
_WORDS = {"exists": "Layer already exists", "mounted": "Mounted from {}", "pushed": "Pushed"}


async def push(
    stock: Stock,
    client: RegistryClient,
    reference: str,
    auth: RegistryAuth | None,
    progress: ProgressSink | None,
) -> str:
    """Returns the manifest's digest. Raises NotFound where nothing has this name."""
    name = parse(reference)
    image_id = stock.index.image_by_name(str(name))
    image = stock.index.image(image_id) if image_id else None
    if image is None:
        raise NotFound(
            f"an image does not exist locally with the tag: {name.familiar_name()}",
            hint=f"give an image this name first: tag IMAGE {name.familiar()}",
        )
    tell = progress or (lambda _: None)
    tell(Progress(status=f"The push refers to repository [{name.name}]"))
    slots = asyncio.Semaphore(_PARALLEL)

    async def one(blob: Blob, short: str) -> None:
        async with slots:
            source = _known_elsewhere(stock, blob.digest, name)
            outcome = await client.push_blob(
                name,
                blob.digest,
                stock.blobs.path(blob.digest),
                blob.size,
                lambda done, total: tell(Progress(status="Pushing", id=short, current=done, total=total)),
                auth,
                mount_from=source,
            )
            if short:
                tell(Progress(status=_WORDS[outcome].format(source), id=short))

    with stock.leases.hold({image.id, image.manifest, *(layer.blob for layer in image.layers)}):
        data = stock.blobs.read(image.manifest)
        manifest = parse_manifest(data, image.manifest)
        layers = {layer.digest: layer for layer in manifest.layers}
        for digest in layers:
            tell(Progress(status="Preparing", id=_short(digest)))
        await all_or_none(
            [asyncio.ensure_future(one(layer, _short(layer.digest))) for layer in layers.values()]
        )
        await client.push_blob(
            name, image.id, stock.blobs.path(image.id), stock.blobs.size(image.id), None, auth
        )
        digest = await client.push_manifest(name, manifest.media_type, data, auth)
    if stock.index.image(image.id) is not None:
        stock.index.add_digest(image.id, f"{name.name}@{digest}")
    tell(Progress(status=f"{name.tag}: digest: {digest} size: {len(data)}"))
    return digest


def _known_elsewhere(stock: Stock, blob: str, name: Reference) -> str:
    """Another repository of the same registry that has had this blob, "" for none."""
    for image in stock.index.images():
        if any(layer.blob == blob for layer in image.layers):
            for text in stock.index.digests(image.id):
                other = parse(text)
                if other.domain == name.domain and other.path != name.path:
                    return other.path
    return ""


def _short(digest: str) -> str:
    return digest.partition(":")[2][:12]
