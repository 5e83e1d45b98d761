"""Taking names away, taking images away, and garbage collection: all of them end in one sweep.

The sweep is safe beside running pulls: it looks and deletes without letting anything else run, and
leaves alone what is leased. Directories only leave their place at that moment; they are taken apart
in a thread afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from moby_components.image_store.overlay import records
from moby_components.image_store.overlay.content.index import Image
from moby_components.image_store.overlay.stock import Stock
from moby_py.errors import Conflict
from moby_py.model import CollectReport, RemovedImage
from moby_py.reference import parse


async def remove(stock: Stock, ref: str, *, force: bool, in_use: Sequence[str]) -> RemovedImage:
    """Docker's rules. Raises NotFound, Conflict."""
    image = records.find(stock, ref)
    by_name = records.name_to_id(stock, ref) == image.id
    names = [_wanted(ref)] if by_name else [*stock.index.tags(image.id), *stock.index.digests(image.id)]
    used = image.id in in_use
    others = _others(stock, image, names)
    if by_name and others:
        stock.index.untag(names)
        return RemovedImage(untagged=tuple(names))
    short = image.id.partition(":")[2][:12]
    if not by_name and len(stock.index.tags(image.id)) > 1 and not force:
        raise Conflict(
            f"unable to delete {short} (must be forced) - image is referenced in multiple repositories",
            hint="remove it by its names, or with force",
        )
    if used and not force:
        what = f'remove repository reference "{ref}"' if by_name else f"delete {short}"
        raise Conflict(
            f"unable to {what} (must be forced) - a container is using its referenced image {short}",
            hint="remove the container first",
        )
    if by_name:
        # The last tag takes the digests along: they are no names that anybody gave.
        names += [name for name in stock.index.digests(image.id) if name not in names]
    if used and by_name:
        stock.index.untag(names)
        return RemovedImage(untagged=tuple(names))
    stock.index.delete_image(image.id)
    stock.forget(image.id)
    gone, _ = sweep(stock)
    await stock.emptied()
    return RemovedImage(untagged=tuple(names), deleted=(image.id, *reversed(gone)))


def _wanted(ref: str) -> str:
    name = parse(ref)
    return f"{name.name}@{name.digest}" if name.digest else str(name)


def _others(stock: Stock, image: Image, names: Sequence[str]) -> list[str]:
    """Names that are left when `names` go. A digest counts only against another digest's removal: an
    image whose last tag goes is deleted, as Docker does."""
    tags = [tag for tag in stock.index.tags(image.id) if tag not in names]
    if any("@" in name for name in names):
        tags += [name for name in stock.index.digests(image.id) if name not in names]
    return tags


def sweep(stock: Stock, blobs: Iterable[str] | None = None) -> tuple[list[str], CollectReport]:
    """Delete layers and blobs that nothing refers to: (chain ids of the layers, what it came to)."""
    index = stock.index
    freed = 0
    used = index.used_chains()
    gone = [layer for layer in index.layers() if layer.chain not in used and layer.chain not in stock.leases]
    for layer in reversed(gone):
        index.delete_layer(layer.chain)
        stock.trash.throw(stock.layer_path(layer))
        freed += layer.size
    kept = index.used_blobs()
    unused = [
        digest
        for digest in (stock.blobs.all() if blobs is None else blobs)
        if digest not in kept and digest not in stock.leases
    ]
    for digest in unused:
        freed += stock.blobs.remove(digest)
    return [layer.chain for layer in gone], CollectReport(blobs=len(unused), layers=len(gone), bytes=freed)


async def collect(stock: Stock, containers: Sequence[str]) -> CollectReport:
    """Writable layers of unknown containers, then whatever they alone held."""
    known = set(containers)
    for row in stock.index.containers():
        if row.id not in known and f"container:{row.id}" not in stock.leases:
            stock.index.delete_container(row.id)
            stock.trash.throw(stock.containers / row.id)
    _, report = sweep(stock)
    await stock.emptied()
    return report


def sweep_at_open(stock: Stock) -> None:
    """What a killed daemon left: half-done work, directories without a row, rows without a directory,
    and images that the disk never got before the power failed."""
    index = stock.index
    for image in index.images():
        if image.boot and image.boot != stock.boot:
            stock.log.warning(
                "image %s was written just before the machine went down and may be incomplete - "
                "forgotten; pull it again",
                image.id,
            )
            index.delete_image(image.id)
        elif not stock.blobs.exists(image.id) or not stock.blobs.exists(image.manifest):
            stock.log.warning("image %s has lost its config or manifest - forgotten; pull it again", image.id)
            index.delete_image(image.id)
    known = {stock.layer_path(layer).name for layer in index.layers()} | {"empty"}
    for folder, keep in (
        (stock.scratch, set()),
        (stock.layers, known),
        (stock.containers, {row.id for row in index.containers()}),
    ):
        for path in folder.iterdir():
            if path.name not in keep:
                stock.trash.throw(path)
    for row in index.containers():
        if not (stock.containers / row.id).is_dir():
            index.delete_container(row.id)
    for layer in index.layers():
        if not stock.layer_path(layer).is_dir():
            stock.log.warning("layer %s has lost its directory - forgotten", layer.chain)
            index.delete_layer(layer.chain)
    sweep(stock)
