"""docker save: a tar that is an OCI layout and a docker-archive at once, with the blobs as they are.

Both kinds of readers find the same files: index.json and manifest.json name blobs/sha256/...; readers
of docker-archives look at a layer's first bytes and inflate it when they must.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from moby_components.common.tree.tarring import END, Member, header, padding
from moby_components.image_store.overlay import records
from moby_components.image_store.overlay.archive.streams import from_writer
from moby_components.image_store.overlay.content.documents import OCI_INDEX, dump, parse_manifest
from moby_components.image_store.overlay.content.index import Image
from moby_components.image_store.overlay.stock import Stock
from moby_py.errors import InvalidArgument
from moby_py.reference import Reference, parse

_CHUNK = 1 << 20
Write = Callable[[bytes], object]


async def save(stock: Stock, refs: Sequence[str]) -> AsyncIterator[bytes]:
    """Images by name keep that name; images by id come without one. The same bytes every time."""
    if not refs:
        raise InvalidArgument("nothing to save - no image was named")
    images: dict[str, tuple[Image, list[Reference]]] = {}
    for ref in refs:
        image = records.find(stock, ref)
        _, names = images.setdefault(image.id, (image, []))
        if (
            records.name_to_id(stock, ref) == image.id
            and not (name := parse(ref)).digest
            and name not in names
        ):
            names.append(name)
    chosen = list(images.values())
    held = {digest for image, _ in chosen for digest in _digests(image)}
    with stock.leases.hold(held):
        documents = _documents(stock, chosen)
        async for piece in from_writer(lambda write: _write(stock, documents, sorted(held), write)):
            yield piece


def _digests(image: Image) -> list[str]:
    return [image.id, image.manifest, *(layer.blob for layer in image.layers)]


def _documents(stock: Stock, images: Sequence[tuple[Image, list[Reference]]]) -> dict[str, bytes]:
    manifests: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    repositories: dict[str, dict[str, str]] = {}
    for image, names in images:
        data = stock.blobs.read(image.manifest)
        manifest = parse_manifest(data, image.manifest)
        descriptor = {"mediaType": manifest.media_type, "digest": image.manifest, "size": len(data)}
        manifests += [
            {
                **descriptor,
                "annotations": {
                    "io.containerd.image.name": str(name),
                    "org.opencontainers.image.ref.name": name.tag,
                },
            }
            for name in names
        ] or [descriptor]
        entries.append(
            {
                "Config": _path(image.id),
                "RepoTags": [name.familiar() for name in names] or None,
                "Layers": [_path(layer.blob) for layer in image.layers],
            }
        )
        for name in names:
            if image.layers:
                top = image.layers[-1].diff.partition(":")[2]
                repositories.setdefault(name.familiar_name(), {})[name.tag] = top
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}
    documents = {
        "index.json": dump(index),
        "manifest.json": dump(entries),
        "oci-layout": dump({"imageLayoutVersion": "1.0.0"}),
    }
    if repositories:
        documents["repositories"] = dump(repositories)
    return documents


def _write(stock: Stock, documents: dict[str, bytes], digests: Sequence[str], write: Write) -> None:
    for folder in ("blobs", "blobs/sha256"):
        write(header(Member(name=folder.encode() + b"/", type=b"5", mode=0o755)))
    for digest in digests:
        with stock.blobs.path(digest).open("rb") as file:
            size = stock.blobs.size(digest)
            write(header(Member(name=_path(digest).encode(), size=size)))
            while chunk := file.read(_CHUNK):
                write(chunk)
            write(padding(size))
    for name, data in sorted(documents.items()):
        write(header(Member(name=name.encode(), size=len(data))) + data + padding(len(data)))
    write(END)


def _path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/", 1)
