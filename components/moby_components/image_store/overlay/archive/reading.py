"""What images an archive holds, and which member of it is which blob: nothing is stored here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from moby_components.image_store.overlay.archive.member_file import TarFile
from moby_components.image_store.overlay.content.blobs import digest_of
from moby_components.image_store.overlay.content.documents import (
    DOCKER_LIST,
    OCI_INDEX,
    Blob,
    Manifest,
    diff_ids,
    load_object,
    parse_config,
    parse_descriptor,
    parse_manifest,
)
from moby_components.image_store.overlay.registry_client import platforms
from moby_py.errors import DataError, MobyError
from moby_py.reference import parse

_NAME = "io.containerd.image.name"
_REF = "org.opencontainers.image.ref.name"
_MAX_IMAGES = 1000


@dataclass(slots=True, kw_only=True)
class Found:
    """One image in an archive. `members` names the file of each layer. Without a manifest (a plain
    docker-archive) one is made when the layers have become blobs."""

    config: bytes
    document: dict[str, Any]
    members: list[str]
    tags: list[str] = field(default_factory=list)
    manifest: Manifest | None = None
    manifest_bytes: bytes = b""

    @property
    def id(self) -> str:
        return digest_of(self.config)


def read_images(tar: TarFile) -> list[Found]:
    """All images of an OCI layout or a docker-archive (one that is both is read as a layout, with the
    names of either). Raises DataError."""
    names = _docker_names(tar) if "manifest.json" in tar else {}
    if "index.json" in tar and "oci-layout" in tar:
        found = list(_layout(tar))
        for image in found:
            image.tags += [tag for tag in names.get(image.id, ()) if tag not in image.tags]
    elif "manifest.json" in tar:
        found = list(_docker(tar))
    else:
        old = "repositories" in tar
        raise DataError(
            f"cannot load {tar.what} - "
            + (
                "it was written by a Docker before 1.10"
                if old
                else "neither an OCI layout nor a docker-archive"
            ),
            hint="save the image again with a newer Docker"
            if old
            else "a filesystem tar becomes an image by import",
        )
    if not found:
        raise DataError(f"cannot load {tar.what} - it holds no image for this platform")
    return _merged(found)


def _merged(found: list[Found]) -> list[Found]:
    """One per image: a layout lists an image once for each of its names."""
    by_id: dict[str, Found] = {}
    for image in found:
        first = by_id.setdefault(image.id, image)
        first.tags += [tag for tag in image.tags if tag not in first.tags]
    return list(by_id.values())


def _entries(tar: TarFile) -> list[dict[str, Any]]:
    try:
        value = json.loads(tar.read("manifest.json"))
    except (ValueError, RecursionError):
        raise DataError(f"cannot load {tar.what} - manifest.json is not JSON") from None
    if not isinstance(value, list) or len(value) > _MAX_IMAGES:
        raise DataError(f"cannot load {tar.what} - manifest.json is not a list of images")
    for entry in value:
        if (
            not isinstance(entry, dict)
            or not isinstance(entry.get("Config"), str)
            or not _strings(entry.get("Layers") or [])
            or not _strings(entry.get("RepoTags") or [])
        ):
            raise DataError(f"cannot load {tar.what} - manifest.json is malformed")
    return value


def _strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _docker_names(tar: TarFile) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for entry in _entries(tar):
        if entry["Config"] in tar:
            image = names.setdefault(digest_of(tar.read(entry["Config"])), [])
            image += [_name(tag, tar) for tag in entry.get("RepoTags") or []]
    return names


def _docker(tar: TarFile) -> Iterator[Found]:
    for entry in _entries(tar):
        config = tar.read(entry["Config"])
        document = parse_config(config, entry["Config"])
        members = entry.get("Layers") or []
        if len(members) != len(diff_ids(document) or []):
            raise DataError(f"cannot load {tar.what} - {entry['Config']} and its layers do not match")
        tags = [_name(tag, tar) for tag in entry.get("RepoTags") or []]
        yield Found(config=config, document=document, members=list(members), tags=tags)


def _layout(tar: TarFile) -> Iterator[Found]:
    index = load_object(tar.read("index.json"), f"index.json of {tar.what}")
    for descriptor, labels in _manifests(tar, index, {}, 0):
        data = _checked(tar, descriptor)
        value = load_object(data, f"manifest {descriptor.digest}")
        if "layers" not in value or "artifactType" in value:
            continue  # a signature or an attestation beside the image
        manifest = parse_manifest(data, descriptor.digest)
        config = _checked(tar, manifest.config)
        yield Found(
            config=config,
            document=parse_config(config, manifest.config.digest),
            members=[_blob_name(layer.digest) for layer in manifest.layers],
            tags=_annotated(labels, tar),
            manifest=manifest,
            manifest_bytes=data,
        )


def _manifests(
    tar: TarFile, index: dict[str, Any], annotations: dict[str, Any], depth: int
) -> Iterator[tuple[Blob, dict[str, Any]]]:
    """Image manifests of an index; of a nested one (a multi-platform image) only this host's."""
    listed = index.get("manifests")
    if not isinstance(listed, list) or len(listed) > _MAX_IMAGES or depth > 3:
        raise DataError(f"cannot load {tar.what} - malformed index")
    listed = [item for item in listed if isinstance(item, dict)]
    if depth:
        listed = _for_this_host(tar, listed)
    for item in listed:
        descriptor = parse_descriptor(item, f"index of {tar.what}")
        own = item.get("annotations")
        merged = {**annotations, **(own if isinstance(own, dict) else {})}
        if descriptor.media_type in (OCI_INDEX, DOCKER_LIST):
            nested = load_object(_checked(tar, descriptor), f"index {descriptor.digest}")
            yield from _manifests(tar, nested, merged, depth + 1)
        else:
            yield descriptor, merged


def _for_this_host(tar: TarFile, listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The best of those that really are in the archive."""
    there = [item for item in listed if _blob_name(str(item.get("digest"))) in tar]
    offered: list[platforms.Platform | None] = []
    for item in there:
        platform = item.get("platform")
        if not isinstance(platform, dict):
            offered.append(None)
            continue
        words = (str(platform.get(key) or "") for key in ("os", "architecture", "variant"))
        offered.append(platforms.make(*words))
    best = platforms.choose(platforms.parse_platform(""), offered)
    return [] if best is None else [there[best]]


def _checked(tar: TarFile, descriptor: Blob) -> bytes:
    data = tar.read(_blob_name(descriptor.digest))
    algorithm, _, encoded = descriptor.digest.partition(":")
    if len(data) != descriptor.size or hashlib.new(algorithm, data).hexdigest() != encoded:
        raise DataError(f"cannot load {tar.what} - blob {descriptor.digest} has another digest or size")
    return data


def _blob_name(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/", 1)


def _annotated(annotations: dict[str, Any], tar: TarFile) -> list[str]:
    """containerd's whole name; else OCI's, where it is more than a bare tag."""
    whole, short = annotations.get(_NAME), annotations.get(_REF)
    if isinstance(whole, str) and whole:
        return [_name(whole, tar)]
    if isinstance(short, str) and (":" in short or "/" in short):
        return [_name(short, tar)]
    return []


def _name(text: str, tar: TarFile) -> str:
    try:
        reference = parse(text)
    except MobyError as error:
        raise DataError(
            f"cannot load {tar.what} - {text[:200]!r} is no image name: {error.message}"
        ) from None
    if reference.digest:
        raise DataError(f"cannot load {tar.what} - {text[:200]!r} is no name with a tag")
    return str(reference)
