"""The `image_store` kind: keeps images and gives containers their root filesystem.

Content is OCI (manifests, configs, layers by digest), checked on every way in. References are full
("docker.io/library/alpine:3"); callers normalise with `moby_py.reference`. `ref` parameters take a
full reference, NAME@DIGEST, an image id or an unambiguous prefix of at least 4 digits of one.

A store that unpacks with a daemon of its own (containerd) implements the same methods; one whose
images are pulled by the runtime's daemon (CRI) answers `prepare` with `RootFS(image=...)` only.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from moby_py.component import Component
from moby_py.model import (
    Change,
    CollectReport,
    ImageRecord,
    ProgressSink,
    RegistryAuth,
    RemovedImage,
    RootFS,
    StoreUsage,
)

Bytes = AsyncIterator[bytes]


class ImageStore(Component):
    """All methods may be called concurrently; each leaves a consistent store when it fails or when
    the daemon is killed in the middle (what is half-done is swept at the next `open`)."""

    kind = "image_store"

    @abstractmethod
    async def pull(
        self,
        reference: str,
        *,
        platform: str = "",
        auth: RegistryAuth | None = None,
        progress: ProgressSink | None = None,
    ) -> ImageRecord:
        """Fetch, check, unpack, tag. `platform` as "linux/arm64"; default the host's.
        Raises NotFound, PermissionDenied (401/403), Unavailable (no answer), DataError (bytes)."""

    @abstractmethod
    async def push(
        self, reference: str, *, auth: RegistryAuth | None = None, progress: ProgressSink | None = None
    ) -> str:
        """Upload what the registry lacks; returns the manifest's digest."""

    @abstractmethod
    async def list(self) -> Sequence[ImageRecord]:
        """All images, newest first."""

    @abstractmethod
    async def inspect(self, ref: str) -> ImageRecord:
        """One image. Raises NotFound "no such image: REF"."""

    @abstractmethod
    async def tag(self, ref: str, reference: str) -> None:
        """Give `ref` a further name; a name in use moves. Idempotent."""

    @abstractmethod
    async def remove(self, ref: str, *, force: bool = False, in_use: Sequence[str] = ()) -> RemovedImage:
        """Untag; with the last name gone, delete. `in_use`: image ids of containers (Conflict unless
        only a name goes). An id with several names needs `force`."""

    @abstractmethod
    async def load(self, data: Bytes, *, progress: ProgressSink | None = None) -> Sequence[ImageRecord]:
        """Take a tar: docker-archive or OCI layout, plain or compressed. All or nothing."""

    @abstractmethod
    def save(self, refs: Sequence[str]) -> Bytes:
        """A tar that is both an OCI layout and a docker-archive (as `docker save` since 25)."""

    @abstractmethod
    async def import_(
        self, data: Bytes, *, reference: str = "", config: Mapping[str, Any] | None = None, message: str = ""
    ) -> ImageRecord:
        """One filesystem tar becomes a one-layer image (docker import)."""

    @abstractmethod
    async def commit(
        self,
        container_id: str,
        *,
        image: str,
        reference: str = "",
        config: Mapping[str, Any] | None = None,
        author: str = "",
        message: str = "",
    ) -> ImageRecord:
        """The container's writable layer on top of `image` becomes a new image."""

    @abstractmethod
    async def prepare(self, image: str, container_id: str) -> RootFS:
        """The container's root: shared layers below a writable layer of its own. Idempotent: the
        same container id gives the same writable layer again (a restart keeps its files)."""

    @abstractmethod
    async def release(self, container_id: str) -> None:
        """Throw the writable layer away. Idempotent. The caller has unmounted it."""

    @abstractmethod
    async def changes(self, container_id: str) -> Sequence[Change]:
        """What the container changed against its image, sorted by path (docker diff)."""

    @abstractmethod
    def diff(self, container_id: str) -> Bytes:
        """The writable layer as an OCI layer tar (whiteouts as .wh. files)."""

    @abstractmethod
    async def usage(self) -> StoreUsage:
        """Bytes on disk."""

    @abstractmethod
    async def collect(self, *, containers: Sequence[str]) -> CollectReport:
        """Delete what nothing refers to: blobs, layers, and writable layers of ids not in
        `containers`. Safe beside running pulls."""

    async def export(self, ref: str) -> Bytes:
        """For moving to another store; `load` of any store takes it."""
        await self.inspect(ref)
        return self.save([ref])
