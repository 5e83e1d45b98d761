"""Images that are made here: a filesystem tar becomes one, a container's changes become one more."""

from __future__ import annotations

import copy
import os
import platform as host_platform
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from moby_components.image_store.overlay.archive.layer_tar import write_layer
from moby_components.image_store.overlay.archive.streams import spool
from moby_components.image_store.overlay.assembling import Arriving, needed, record, unpack_all
from moby_components.image_store.overlay.containers import Containers
from moby_components.image_store.overlay.content.documents import (
    OCI_CONFIG,
    Blob,
    Manifest,
    dump,
    make_manifest,
    now,
    parse_config,
    parse_manifest,
)
from moby_components.image_store.overlay.content.gzipping import LayerWriter
from moby_components.image_store.overlay.content.index import Image
from moby_components.image_store.overlay.content.leases import Lease
from moby_components.image_store.overlay.layers import Layers
from moby_components.image_store.overlay.registry_client import platforms
from moby_components.image_store.overlay.stock import Stock
from moby_components.image_store.overlay.threads import in_thread
from moby_components.image_store.overlay.unpack.inflate import Inflater
from moby_py.reference import parse

_EMPTY_TAR = 1024
"""Bytes of a tar that holds nothing."""


class Maker:
    def __init__(self, stock: Stock, layers: Layers, containers: Containers) -> None:
        self._stock = stock
        self._layers = layers
        self._containers = containers

    async def import_(
        self, data: AsyncIterator[bytes], reference: str, config: Mapping[str, Any], message: str
    ) -> Image:
        """One layer from a tar in any compression. Raises DataError, InvalidArgument."""
        tags = _tags(reference)
        stock = self._stock
        descriptor = await spool(data, stock.blobs, stock.limits.size)
        with os.fdopen(descriptor, "rb", buffering=0) as file, LayerWriter(stock.blobs) as writer:

            def work() -> tuple[Blob, str]:
                inflater = Inflater(file, stock.limits, "the archive")
                try:
                    for chunk in inflater:
                        writer.write(chunk)
                finally:
                    inflater.close()
                return writer.finish()

            layer, diff = await in_thread(work)
            created = now()
            host = platforms.parse_platform(f"linux/{host_platform.machine()}")
            document: dict[str, Any] = {
                "created": created,
                "architecture": host.architecture,
                "os": "linux",
                "config": dict(config),
                "rootfs": {"type": "layers", "diff_ids": [diff]},
                "history": [{"created": created, "comment": message or "Imported from a tar"}],
            }
            with stock.leases.hold((layer.digest,)) as lease:
                writer.keep()
                return await self._finish(document, (layer,), tags, lease)

    async def commit(
        self,
        container_id: str,
        image: Image,
        reference: str,
        config: Mapping[str, Any],
        author: str,
        message: str,
    ) -> Image:
        """The container's changes on top of `image`. Raises NotFound, InvalidArgument."""
        tags = _tags(reference)
        stock = self._stock
        own, below, whole = self._containers.tree(container_id)
        with (
            stock.leases.hold((image.id, image.manifest, f"container:{container_id}")) as lease,
            LayerWriter(stock.blobs) as writer,
        ):
            lease.add(*(layer.blob for layer in image.layers), *(layer.chain for layer in image.layers))

            def work() -> tuple[Blob, str]:
                write_layer(own, below, writer.write, whole=whole)
                return writer.finish()

            layer, diff = await in_thread(work)
            changed = writer.size > _EMPTY_TAR
            document = _committed(
                stock.config(image.id), diff if changed else "", config, author=author, message=message
            )
            old = parse_manifest(stock.blobs.read(image.manifest), image.manifest)
            layers = [
                Blob(digest=blob.digest, size=blob.size, media_type=_oci(blob.media_type))
                for blob in old.layers
            ]
            if changed:
                lease.add(layer.digest)
                writer.keep()
                layers.append(layer)
            return await self._finish(document, layers, tags, lease)

    async def _finish(
        self, document: dict[str, Any], layers: Sequence[Blob], tags: Sequence[str], lease: Lease
    ) -> Image:
        stock = self._stock
        data = dump(document)
        config = Blob(digest=stock.blobs.add(data), size=len(data), media_type=OCI_CONFIG)
        manifest = make_manifest(config, layers)
        arriving = Arriving(
            manifest=Manifest(media_type="", config=config, layers=tuple(layers)),
            manifest_digest=stock.blobs.add(manifest),
            config=parse_config(data, config.digest),
            tags=tuple(tags),
        )
        lease.add(*needed(arriving))
        await unpack_all(self._layers, arriving)
        (image,) = record(stock, [arriving])
        return image


def _committed(
    base: Mapping[str, Any], diff: str, config: Mapping[str, Any], *, author: str, message: str
) -> dict[str, Any]:
    """The new image's config. `config`'s keys replace the image's; `diff` "" means no new layer."""
    document = copy.deepcopy(dict(base))
    for key in ("container", "container_config", "docker_version", "id", "parent"):
        document.pop(key, None)
    document["created"] = now()
    document["author"] = author
    document["config"] = {**(document.get("config") or {}), **config}
    command = config.get("Cmd") or []
    entry: dict[str, Any] = {"created": document["created"]}
    if isinstance(command, list) and command:
        entry["created_by"] = " ".join(str(word) for word in command)
    if author:
        entry["author"] = author
    if message:
        entry["comment"] = message
    if diff:
        document["rootfs"]["diff_ids"] = [*(document["rootfs"].get("diff_ids") or []), diff]
    else:
        entry["empty_layer"] = True
    document["history"] = [*(document.get("history") or []), entry]
    return document


def _oci(media_type: str) -> str:
    """Docker's word for a layer in OCI's: one manifest speaks one language."""
    if not media_type.startswith("application/vnd.docker.image.rootfs."):
        return media_type
    _, _, compression = media_type.rpartition(".")
    suffix = {"gzip": "+gzip", "zstd": "+zstd"}.get(compression, "")
    return f"application/vnd.oci.image.layer.v1.tar{suffix}"


def _tags(reference: str) -> tuple[str, ...]:
    return (str(parse(reference)),) if reference else ()
