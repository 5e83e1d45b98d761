"""OCI's JSON documents: configs and manifests, checked before anything believes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from moby_components.image_store.overlay.content.config_shape import wrong_field
from moby_py.errors import DataError, MobyError
from moby_py.reference import check_digest

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
MAX_LAYERS = 500
"""overlayfs joins no more (OVL_MAX_STACK)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A descriptor: what a manifest says of a blob."""

    digest: str
    size: int
    media_type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """An image manifest. `media_type` is its own, as it says or as its shape tells."""

    media_type: str
    config: Blob
    layers: tuple[Blob, ...]


def load_object(data: bytes, what: str) -> dict[str, Any]:
    """A JSON object, or DataError naming `what`."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise DataError(f"{what} is damaged - not JSON") from None
    if not isinstance(value, dict):
        raise DataError(f"{what} is damaged - not a JSON object")
    return value


def parse_config(data: bytes, what: str) -> dict[str, Any]:
    """An image config with a believable `rootfs`."""
    value = load_object(data, f"image config {what}")
    diffs = diff_ids(value)
    if diffs is None or len(diffs) > MAX_LAYERS or not isinstance(value.get("config") or {}, dict):
        raise DataError(f"image config {what} is damaged - it has no usable list of layers")
    wrong = wrong_field(value.get("config") or {})
    if wrong is not None:
        raise DataError(f"image config {what} is damaged - its {wrong} is of the wrong type")
    return value


def diff_ids(config: Mapping[str, Any]) -> list[str] | None:
    """The digests of the unpacked layers, base first; None where the config is malformed."""
    rootfs = config.get("rootfs")
    if not isinstance(rootfs, dict):
        return None
    found = rootfs.get("diff_ids") or []
    if not isinstance(found, list):
        return None
    try:
        return [check_digest(digest) for digest in found if isinstance(digest, str) or _refuse()]
    except (MobyError, TypeError):
        return None


def _refuse() -> bool:
    raise TypeError


def parse_manifest(data: bytes, what: str) -> Manifest:
    """An OCI or Docker (schema 2) image manifest."""
    value = load_object(data, f"manifest {what}")
    layers = value.get("layers")
    if not isinstance(value.get("config"), dict) or not isinstance(layers, list):
        raise DataError(f"manifest {what} is damaged - it has no config and layers")
    config = parse_descriptor(value["config"], what)
    docker = config.media_type.startswith("application/vnd.docker.")
    return Manifest(
        media_type=str(value.get("mediaType") or (DOCKER_MANIFEST if docker else OCI_MANIFEST)),
        config=config,
        layers=tuple(parse_descriptor(layer, what) for layer in layers),
    )


def parse_descriptor(value: object, what: str) -> Blob:
    """One descriptor of a manifest or index."""
    if not isinstance(value, dict) or not isinstance(value.get("digest"), str):
        raise DataError(f"manifest {what} is damaged - malformed descriptor")
    size = value.get("size")
    if not isinstance(size, int) or size < 0:
        raise DataError(f"manifest {what} is damaged - malformed descriptor")
    try:
        digest = check_digest(value["digest"])
    except MobyError as error:
        raise DataError(f"manifest {what} is damaged - {error.message}") from None
    return Blob(digest=digest, size=size, media_type=str(value.get("mediaType") or ""))


def make_manifest(config: Blob, layers: Sequence[Blob]) -> bytes:
    """An OCI manifest for an image that was made here."""
    return dump(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": as_descriptor(config),
            "layers": [as_descriptor(layer) for layer in layers],
        }
    )


def as_descriptor(blob: Blob) -> dict[str, Any]:
    return {"mediaType": blob.media_type, "digest": blob.digest, "size": blob.size}


def dump(value: object) -> bytes:
    """JSON without blanks: the bytes are what is hashed, so they are always the same."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def chain_ids(diffs: Sequence[str]) -> list[str]:
    """OCI image-spec, "Layer ChainID": one for each layer together with all below it."""
    chains: list[str] = []
    for diff in diffs:
        text = f"{chains[-1]} {diff}" if chains else ""
        chains.append("sha256:" + hashlib.sha256(text.encode()).hexdigest() if text else diff)
    return chains


def now() -> str:
    """RFC 3339 with nanoseconds, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
