"""From what was asked for to an image, and from the index to what is shown."""

from __future__ import annotations

import re

from moby_components.image_store.overlay.content.index import Image
from moby_components.image_store.overlay.stock import Stock
from moby_py.errors import DataError, InvalidArgument, MobyError, NotFound
from moby_py.model import ImageRecord
from moby_py.reference import Reference, parse

_ID = re.compile("(?:sha256:)?([0-9a-f]{4,64})")


def find(stock: Stock, ref: str) -> Image:
    """By tag, NAME@DIGEST, id, or an unambiguous beginning of an id. Raises NotFound, InvalidArgument."""
    image_id = name_to_id(stock, ref) or _by_prefix(stock, ref)
    image = stock.index.image(image_id) if image_id else None
    if image is None:
        raise NotFound(f"no such image: {ref}")
    return image


def name_to_id(stock: Stock, ref: str) -> str:
    """The id of what `ref` names (not: of what it identifies), "" for nothing."""
    reference = parse_name(ref)
    if reference is None:
        return ""
    wanted = f"{reference.name}@{reference.digest}" if reference.digest else str(reference)
    return stock.index.image_by_name(wanted)


def parse_name(ref: str) -> Reference | None:
    """A reference, or None for what can only be an id."""
    try:
        return parse(ref)
    except MobyError:
        return None


def _by_prefix(stock: Stock, ref: str) -> str:
    match = _ID.fullmatch(ref)
    if match is None:
        return ""
    found = stock.index.ids_like(f"sha256:{match[1]}")
    if len(found) > 1:
        raise InvalidArgument(f"image id {ref} is ambiguous - several images begin with it")
    return found[0] if found else ""


def show(stock: Stock, image: Image) -> ImageRecord:
    """An image as the kinds speak of it. One whose config is damaged on the disk is shown without it:
    it must not hide all others, and can be removed. No container starts from it."""
    try:
        config = stock.config(image.id)
    except (DataError, NotFound) as error:
        stock.tell_damaged(image.id, error)
        config = {}
    sizes = sizes_of(stock, image)
    return ImageRecord(
        id=image.id,
        references=stock.index.tags(image.id),
        repo_digests=stock.index.digests(image.id),
        created=str(config.get("created") or ""),
        size=sum(sizes),
        architecture=str(config.get("architecture") or ""),
        os=str(config.get("os") or "linux"),
        config=config,
        layers=tuple(layer.diff for layer in image.layers),
        manifest_digest=image.manifest,
        layer_sizes=sizes,
    )


def sizes_of(stock: Stock, image: Image) -> tuple[int, ...]:
    """Bytes of each of its unpacked layers, base first; 0 for one that is missing."""
    found = (stock.index.layer(layer.chain) for layer in image.layers)
    return tuple(layer.size if layer else 0 for layer in found)


def size_of(stock: Stock, image: Image) -> int:
    """Bytes of its unpacked layers."""
    return sum(sizes_of(stock, image))
