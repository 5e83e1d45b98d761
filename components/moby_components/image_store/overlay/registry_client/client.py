"""The face of the package: one object with the registry operations a store needs."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from moby_py.model import RegistryAuth
from moby_py.reference import Reference, parse

from .problems import Work
from .types import Descriptor, RegistryOptions, Resolved, TransferProgress

if TYPE_CHECKING:
    from .remote import Remote
    from .transport import Transport

Name = str | Reference


class RegistryClient:
    """All methods may run concurrently. References may be given as text or parsed.

    Raises everywhere: InvalidArgument (a name that is none), PermissionDenied (401, 403), NotFound
    (404), Unavailable (no answer, 5xx, 429, too slow), DataError (bytes are not what they should
    be), Unsupported (schema 1, artifacts, foreign layers). `auth` None or empty: Docker's
    config.json and its helpers are asked, once a registry wants to know.
    """

    def __init__(self, options: RegistryOptions | None = None) -> None:
        self.options = options or RegistryOptions()
        self._transport: Transport | None = None

    async def __aenter__(self) -> RegistryClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close idle connections. Idempotent; the client opens new ones when it is used again."""
        transport, self._transport = self._transport, None
        if transport:
            await transport.close()

    # ------------------------------------------------------------------ pull

    async def resolve(
        self, reference: Name, platform: str = "", auth: RegistryAuth | None = None
    ) -> Resolved:
        """The manifest that `reference` means for `platform` ("linux/arm64/v8"; default the host's)."""
        from .pull import resolve
        from .remote import first

        work = Work("pull", _parsed(reference))
        return await first(self._pull_remotes(work, auth), lambda remote: resolve(remote, platform))

    async def fetch_blob(
        self,
        reference: Name,
        descriptor: Descriptor,
        path: Path,
        progress: TransferProgress | None = None,
        auth: RegistryAuth | None = None,
        *,
        keep_partial: bool = False,
    ) -> None:
        """Download `descriptor` to `path` (mode 0600), checked.

        It grows as `path` + ".partial" and is renamed when size and digest are right; an existing
        partial file is hashed again and continued. A failure removes it, except that
        `keep_partial` leaves it for the next call when the network failed (not when bytes were wrong).
        Not synced to disk: that is the caller's choice. One caller per path at a time.
        """
        from .download import fetch_blob
        from .remote import first

        work = Work("pull", _parsed(reference))

        async def attempt(remote: Remote) -> None:
            await fetch_blob(remote, descriptor, path, progress, keep_partial=keep_partial)

        await first(self._pull_remotes(work, auth), attempt)

    async def fetch_bytes(
        self, reference: Name, descriptor: Descriptor, auth: RegistryAuth | None = None
    ) -> bytes:
        """A small blob (an image's config) in memory, at most `max_manifest` bytes, checked."""
        from .download import fetch_bytes
        from .remote import first

        work = Work("pull", _parsed(reference))
        return await first(self._pull_remotes(work, auth), lambda remote: fetch_bytes(remote, descriptor))

    async def head_manifest(self, reference: Name, auth: RegistryAuth | None = None) -> Descriptor:
        """What a name points at, without fetching it. Raises NotFound."""
        from .pull import head_manifest

        return await head_manifest(self._remote(Work("inspect", _parsed(reference)), auth))

    async def tags(self, repository: Name, auth: RegistryAuth | None = None) -> list[str]:
        """All tags of a repository, in the registry's order. Raises NotFound."""
        from .pull import tags

        return await tags(self._remote(Work("list the tags of", _parsed(repository)), auth))

    async def ping(self, domain: str, auth: RegistryAuth | None = None) -> None:
        """Does the registry answer, and take these credentials? (docker login)"""
        from .pull import ping

        reference = Reference(domain, "")
        await ping(self._remote(Work("log in to", reference), auth))

    # ------------------------------------------------------------------ push

    async def blob_exists(self, reference: Name, digest: str, auth: RegistryAuth | None = None) -> bool:
        """Does the repository have this blob?"""
        from .upload import blob_exists

        return await blob_exists(self._remote(Work("push", _parsed(reference)), auth), digest)

    async def push_blob(
        self,
        reference: Name,
        digest: str,
        path: Path,
        size: int,
        progress: TransferProgress | None = None,
        auth: RegistryAuth | None = None,
        *,
        mount_from: str = "",
    ) -> Literal["exists", "mounted", "pushed"]:
        """Upload the file at `path` unless the registry has it. `mount_from`: another repository of
        the same registry ("library/alpine") that may have it. Raises DataError when the file is not
        `digest`. Idempotent."""
        from .upload import push_blob

        remote = self._remote(Work("push", _parsed(reference)), auth, mount_from=mount_from)
        return await push_blob(remote, digest, path, size, progress, mount_from)

    async def push_manifest(
        self, reference: Name, media_type: str, data: bytes, auth: RegistryAuth | None = None
    ) -> str:
        """Put a manifest or an index under the tag (or digest) of `reference`; returns its digest."""
        from .upload import push_manifest

        return await push_manifest(self._remote(Work("push", _parsed(reference)), auth), media_type, data)

    # ------------------------------------------------------------------ inside

    def _open(self) -> Transport:
        from .transport import Transport

        if self._transport is None:
            self._transport = Transport(self.options)
        return self._transport

    def _remote(self, work: Work, auth: RegistryAuth | None, *, mount_from: str = "") -> Remote:
        from .remote import Remote

        transport = self._open()
        endpoint = transport.hosts.origin(work.reference.domain)
        return Remote(transport, endpoint, work, auth, mount_from=mount_from)

    def _pull_remotes(self, work: Work, auth: RegistryAuth | None) -> list[Remote]:
        """The mirrors, then the registry. `auth` is for the registry only."""
        from .remote import Remote

        transport = self._open()
        mirrors = transport.hosts.mirrors(work.reference.domain)
        return [*(Remote(transport, m, work, None) for m in mirrors), self._remote(work, auth)]


def _parsed(reference: Name) -> Reference:
    return parse(reference) if isinstance(reference, str) else reference
