"""Images: list, inspect, history, removal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from moby_components.api.docker.names import familiar
from moby_components.api.docker.shapes.config import CONFIG_DEFAULTS
from moby_components.api.docker.times import unix
from moby_py.model import ImageRecord, RemovedImage


def shared_sizes(images: Sequence[ImageRecord]) -> dict[str, int]:
    """By image id: bytes of the layers that another image has as well; -1 where the store does not tell.

    Layers are the same when all below them are: stores may unpack each onto those.
    """
    users = Counter(chain for image in images for chain in _chains(image))
    return {image.id: _shared(image, users) for image in images}


def _shared(image: ImageRecord, users: Mapping[tuple[str, ...], int]) -> int:
    if len(image.layer_sizes) != len(image.layers):
        return -1
    pairs = zip(_chains(image), image.layer_sizes, strict=True)
    return sum(size for chain, size in pairs if users[chain] > 1)


def _chains(image: ImageRecord) -> list[tuple[str, ...]]:
    return [image.layers[:number] for number in range(1, len(image.layers) + 1)]


def summary(image: ImageRecord, *, containers: int = -1, shared: int = -1) -> dict[str, Any]:
    return {
        "Id": image.id,
        "ParentId": "",
        "RepoTags": [familiar(name) for name in image.references],
        "RepoDigests": [familiar(name) for name in image.repo_digests],
        "Created": unix(image.created),
        "Size": image.size,
        "SharedSize": shared,
        "VirtualSize": image.size,
        "Labels": labels(image) or None,
        "Containers": containers,
    }


def inspect(image: ImageRecord, *, driver: str) -> dict[str, Any]:
    config = image.config
    history = config.get("history") or ()
    return {
        "Id": image.id,
        "RepoTags": [familiar(name) for name in image.references],
        "RepoDigests": [familiar(name) for name in image.repo_digests],
        "Parent": "",
        "Comment": config.get("comment") or (history[-1].get("comment", "") if history else ""),
        "Created": image.created or "0001-01-01T00:00:00Z",
        "DockerVersion": config.get("docker_version", ""),
        "Author": config.get("author", ""),
        "Config": _runtime_config(config.get("config") or {}),
        "Architecture": image.architecture,
        **({"Variant": config["variant"]} if config.get("variant") else {}),
        "Os": image.os,
        "Size": image.size,
        "VirtualSize": image.size,
        "GraphDriver": {"Data": None, "Name": driver},
        "RootFS": {"Type": "layers", "Layers": list(image.layers)},
        "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
    }


def history(image: ImageRecord) -> list[dict[str, Any]]:
    """Newest first; sizes go to the entries that made a layer."""
    entries = image.config.get("history") or [{} for _ in image.layers]
    sizes = iter(image.layer_sizes)
    shape: list[dict[str, Any]] = [
        {
            "Id": "<missing>",
            "Created": unix(entry.get("created", "")),
            "CreatedBy": entry.get("created_by", ""),
            "Tags": None,
            "Size": 0 if entry.get("empty_layer") else next(sizes, 0),
            "Comment": entry.get("comment", ""),
        }
        for entry in entries
    ]
    shape.reverse()
    if shape:
        shape[0]["Id"] = image.id
        shape[0]["Tags"] = [familiar(name) for name in image.references] or None
    return shape


def removed(what: RemovedImage) -> list[dict[str, str]]:
    return [
        *({"Untagged": familiar(name)} for name in what.untagged),
        *({"Deleted": id} for id in what.deleted),
    ]


def labels(image: ImageRecord) -> Mapping[str, str]:
    return (image.config.get("config") or {}).get("Labels") or {}


def _runtime_config(config: Mapping[str, Any]) -> dict[str, Any]:
    return {**CONFIG_DEFAULTS, **config}
