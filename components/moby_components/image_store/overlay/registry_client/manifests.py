"""From a registry's bytes to a manifest that can be trusted to have the right shape.

image-spec manifest.md, image-index.md, descriptor.md; Docker's schema 2. Sizes are bounded before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moby_py.errors import InvalidArgument, MobyError, NotFound
from moby_py.reference import check_digest

from .platforms import Platform, choose, make
from .problems import Work, readable
from .types import (
    CONFIGS,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    INDEXES,
    MANIFESTS,
    NOT_DISTRIBUTABLE,
    OCI_INDEX,
    OCI_MANIFEST,
    SCHEMA1,
    Descriptor,
)

ACCEPT = ", ".join((OCI_MANIFEST, DOCKER_MANIFEST, OCI_INDEX, DOCKER_LIST))
MAX_ENTRIES = 2000
MAX_SIZE = 1 << 62


@dataclass(frozen=True, slots=True)
class Fetched:
    """A manifest or index as it came: bytes, what they say they are, and their digest."""

    data: bytes
    media_type: str
    digest: str
    body: Mapping[str, Any]


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def check(work: Work, data: bytes, content_type: str, *, wanted: str, announced: str) -> Fetched:
    """`wanted`: the digest it was asked by, or ""; `announced`: Docker-Content-Digest, or ""."""
    if data.lstrip()[:1] == b"<" or "html" in content_type:
        raise work.broken("a web page instead of a manifest")
    for expected in filter(None, (wanted, announced)):
        digest = _valid_digest(work, expected)
        found = digest_of(data, digest.partition(":")[0])
        if found != digest:
            raise work.wrong_bytes("the manifest", f"it has the digest {found} instead of {digest}")
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        raise work.broken("a manifest that is not JSON") from None
    if not isinstance(body, dict):
        raise work.broken("a manifest that is not a JSON object")
    media_type = _media_type(work, body, content_type)
    return Fetched(data, media_type, wanted or digest_of(data), body)


def _media_type(work: Work, body: Mapping[str, Any], content_type: str) -> str:
    said, known = body.get("mediaType"), (*MANIFESTS, *INDEXES)
    if body.get("schemaVersion") == 1 or SCHEMA1 in content_type:
        raise work.unsupported(
            "the image has a manifest of schema 1, which is obsolete and not verifiable",
            "push it again with a newer tool (docker push, skopeo copy)",
        )
    if body.get("schemaVersion") != 2:
        raise work.broken("a manifest without schemaVersion 2")
    if said is not None and content_type in known and said != content_type:
        raise work.broken(f"a manifest that is {readable(str(said))} inside and {content_type} outside")
    media_type = content_type if content_type in known else said
    if media_type is None:
        media_type = OCI_INDEX if "manifests" in body else OCI_MANIFEST
    if media_type not in known:
        raise work.unsupported(f"it is {readable(str(media_type))}, not a container image")
    if ("manifests" in body) != (media_type in INDEXES) or ("layers" in body) != (media_type in MANIFESTS):
        raise work.broken(f"a manifest whose fields do not fit its type {media_type}")
    return str(media_type)


def select(work: Work, index: Fetched, wanted: Platform) -> tuple[Descriptor, str]:
    """The entry of an index for a platform, and that platform as text. Raises NotFound."""
    entries = []
    for entry in _list(work, index.body, "manifests"):
        found = descriptor(work, entry, "an entry of the index")
        if found.media_type not in (*MANIFESTS, *INDEXES) or _is_attestation(found):
            continue
        entries.append((found, _platform(entry)))
    offered = [platform for _, platform in entries]
    number = choose(wanted, offered)
    if number is None:
        has = ", ".join(sorted({str(p) for p in offered if p and p.os != "unknown"})) or "nothing that runs"
        raise NotFound(
            f"{work.what}: no matching manifest for {wanted} in the manifest list entries - it has {has}",
            hint="choose one with --platform",
        )
    return entries[number][0], str(offered[number] or "")


def contents(work: Work, manifest: Fetched) -> tuple[Descriptor, tuple[Descriptor, ...]]:
    """(config, layers) of an image manifest, refused when it is no image that may be pulled."""
    config = descriptor(work, manifest.body.get("config"), "the config of the manifest")
    if config.media_type not in CONFIGS:
        raise work.unsupported(
            f"it is an artifact of type {readable(config.media_type)}, not a container image"
        )
    layers = tuple(
        descriptor(work, x, "a layer of the manifest") for x in _list(work, manifest.body, "layers")
    )
    for layer in layers:
        refuse_foreign(work, layer)
    return config, layers


def refuse_foreign(work: Work, layer: Descriptor) -> None:
    """Layers that live at URLs of somebody else's choice are not fetched."""
    if any(mark in layer.media_type for mark in NOT_DISTRIBUTABLE):
        raise work.unsupported(
            f"layer {layer.digest} is not distributed by the registry ({readable(layer.media_type)})",
            "images with foreign layers (Windows bases) cannot be used here",
        )


def descriptor(work: Work, value: Any, what: str) -> Descriptor:
    """`value` of a JSON document as a descriptor; `urls` are ignored, never followed."""
    if not isinstance(value, dict):
        raise work.broken(f"{what} is not a descriptor")
    media_type, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
    if not isinstance(media_type, str) or not isinstance(digest, str):
        raise work.broken(f"{what} has no mediaType or no digest")
    if type(size) is not int or not 0 <= size <= MAX_SIZE:
        raise work.broken(f"{what} has no sane size")
    notes = value.get("annotations")
    annotations = {str(k): str(v) for k, v in notes.items()} if isinstance(notes, dict) else {}
    return Descriptor(
        media_type=media_type, digest=_valid_digest(work, digest), size=size, annotations=annotations
    )


def _valid_digest(work: Work, digest: str) -> str:
    try:
        return check_digest(digest)
    except InvalidArgument as error:
        raise _broken_digest(work, digest, error) from None


def _broken_digest(work: Work, digest: str, error: MobyError) -> MobyError:
    return work.broken(f'the digest "{readable(digest)}": {error.message}')


def _list(work: Work, body: Mapping[str, Any], key: str) -> list[Any]:
    found = body.get(key)
    if not isinstance(found, list):
        raise work.broken(f"its {key} are not a list")
    if len(found) > MAX_ENTRIES:
        raise work.broken(f"it has more than {MAX_ENTRIES} {key}")
    return found


def _platform(entry: Mapping[str, Any]) -> Platform | None:
    found = entry.get("platform")
    if not isinstance(found, dict):
        return None
    os, architecture, variant = (found.get(k) for k in ("os", "architecture", "variant"))
    if not isinstance(os, str) or not isinstance(architecture, str):
        return None
    return make(os, architecture, variant if isinstance(variant, str) else "")


def _is_attestation(found: Descriptor) -> bool:
    return "vnd.docker.reference.type" in found.annotations
