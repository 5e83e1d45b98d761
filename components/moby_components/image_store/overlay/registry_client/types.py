"""The values that go into and come out of the client, and the media types it knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from moby_py.reference import Reference

TransferProgress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all), at most ten times a second and once at the end."""

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
SCHEMA1 = "application/vnd.docker.distribution.manifest.v1"
MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)
INDEXES = (OCI_INDEX, DOCKER_LIST)
CONFIGS = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
    "application/octet-stream",  # written by Docker before 1.10
)
NOT_DISTRIBUTABLE = ("nondistributable", "rootfs.foreign")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryOptions:
    """How to reach registries. The defaults are Docker's; times are seconds, sizes bytes.

    insecure:     "HOST[:PORT]" or a network ("10.0.0.0/8") whose certificates are not checked and
                  which may speak plain HTTP. Loopback may always speak plain HTTP.
    mirrors:      domain -> base URLs asked before the registry itself, for pulls only.
    certificates: folders of Docker's layout, HOST[:PORT]/{*.crt, *.cert + *.key}.
    docker_config: a config.json; None means $DOCKER_CONFIG/config.json, else ~/.docker/config.json.
    retries:      further attempts after resets, 5xx, 429 and stalls.
    stall, min_rate: a transfer that brings less than stall * min_rate bytes in `stall` seconds is given up.
    chunk:        blobs larger than this are uploaded in pieces of this size (a failed piece is repeated).
    """

    insecure: tuple[str, ...] = ()
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    certificates: tuple[Path, ...] = (Path("/etc/docker/certs.d"), Path("/etc/containers/certs.d"))
    docker_config: Path | None = None
    use_proxies: bool = True
    connect_timeout: float = 15.0
    answer_timeout: float = 30.0
    stall: float = 30.0
    min_rate: int = 1024
    helper_timeout: float = 15.0
    finish_timeout: float = 300.0
    """For the last answer of an upload: registries assemble and hash then."""
    retries: int = 3
    backoff: float = 0.5
    max_retry_after: float = 60.0
    chunk: int = 256 << 20
    max_manifest: int = 4 << 20
    max_redirects: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """OCI's content descriptor: what to fetch, how long it is, what it must hash to."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A name turned into content. `digest` is what the name points at (the index where there is
    one: the digest of Docker's RepoDigests); `manifest` is the image of the wanted platform."""

    reference: Reference
    digest: str
    index: bytes | None
    index_media_type: str
    manifest: bytes
    manifest_digest: str
    manifest_media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    """Base first."""
    platform: str
    """As the index says ("linux/arm/v7"); "" without an index: the config tells."""
