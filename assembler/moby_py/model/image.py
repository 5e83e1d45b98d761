"""Images as stores know them: OCI content under Docker's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """One image. `id` is the digest of its config blob ("sha256:..."), as Docker's image id."""

    id: str
    references: tuple[str, ...]
    """Full names with tag, sorted: "docker.io/library/alpine:3"."""
    repo_digests: tuple[str, ...]
    """NAME@DIGEST of the manifest (or the index) it was pulled as."""
    created: str
    """RFC 3339, from the config; "" where it has none."""
    size: int
    """Bytes of its unpacked layers."""
    architecture: str
    os: str
    config: Mapping[str, Any]
    """The whole OCI image config (keys `config`, `rootfs`, `history`, ...)."""
    layers: tuple[str, ...]
    """diff ids, base first."""
    manifest_digest: str = ""
    layer_sizes: tuple[int, ...] = ()
    """Bytes of each unpacked layer, base first; empty where the store does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryAuth:
    """Docker's AuthConfig. Never logged, never stored. Empty means: look in config.json."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)
    server: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One step of long work, in the words of Docker's progress stream.

    `id` a short layer id or the tag, `status` "Pulling fs layer", "Downloading", "Verifying
    Checksum", "Download complete", "Extracting", "Pull complete", "Already exists", "Pushing",
    "Pushed", "Layer already exists", "Digest: ...", "Status: ...".
    """

    status: str
    id: str = ""
    current: int = 0
    total: int = 0


ProgressSink = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovedImage:
    """What a removal did: references untagged and ids deleted, in order."""

    untagged: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUsage:
    """`layers` bytes of shared layers, `containers` bytes of writable layers by container id."""

    layers: int
    images: Mapping[str, int]
    containers: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A path changed in a container: kind 0 modified, 1 added, 2 deleted (Docker's numbers)."""

    path: str
    kind: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectReport:
    """What garbage collection removed."""

    blobs: int = 0
    layers: int = 0
    bytes: int = 0
