"""Pushing: what is there is not sent, what a neighbour has is mounted, the rest goes up in one piece
or, above `options.chunk`, in several. distribution-spec v1.1 "Push"."""

from __future__ import annotations

import hashlib
import re
from asyncio import get_running_loop
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from yarl import URL

from moby_py.errors import DataError, NotFound, Unavailable
from moby_py.reference import check_digest

from .manifests import digest_of
from .pace import Meter, Pace
from .problems import Retry
from .remote import Remote
from .types import TransferProgress

PIECE = 256 << 10
OCTETS = "application/octet-stream"


async def blob_exists(remote: Remote, digest: str) -> bool:
    """See `RegistryClient.blob_exists`."""
    path = f"{remote.name}/blobs/{check_digest(digest)}"

    async def attempt() -> bool:
        try:
            async with remote.send("HEAD", path):
                return True
        except NotFound:
            return False

    return await remote.persevere(attempt)


async def push_blob(
    remote: Remote, digest: str, path: Path, size: int, progress: TransferProgress | None, mount_from: str
) -> Literal["exists", "mounted", "pushed"]:
    """See `RegistryClient.push_blob`."""
    meter = Meter(progress, size)
    if await blob_exists(remote, digest):
        meter.at(size)
        return "exists"
    await _check_file(remote, digest, path, size)
    start = await _begin(remote, digest, mount_from)
    if start is None:
        meter.at(size)
        return "mounted"
    source = _Source(path, size, meter)
    if size > remote.options.chunk:
        await _in_chunks(remote, start, digest, source)
    else:
        await _whole(remote, start, digest, source)
    meter.at(size)
    return "pushed"


@dataclass(frozen=True, slots=True)
class _Source:
    path: Path
    size: int
    meter: Meter

    async def read(self, pace: Pace, start: int, end: int, finish: float) -> AsyncIterator[bytes]:
        """Bytes start..end; `finish` seconds are left for the answer after the last one."""
        with self.path.open("rb") as file:
            file.seek(start)
            at = start
            while at < end:
                data = file.read(min(PIECE, end - at))
                if not data:
                    return  # it became shorter: the announced length will not be reached
                yield data
                at += len(data)
                self.meter.at(min(at, self.size - 1))
                pace.renew(pace.seconds if at < end else finish)


async def _check_file(remote: Remote, digest: str, path: Path, size: int) -> None:
    """Never offer a registry bytes that are not what their name says."""

    def hash_it() -> tuple[int, str]:
        algorithm = digest.partition(":")[0]
        with path.open("rb") as file:
            found = hashlib.file_digest(file, algorithm)
            return file.tell(), f"{algorithm}:{found.hexdigest()}"

    try:
        length, found = await get_running_loop().run_in_executor(remote.transport.threads, hash_it)
    except OSError as error:
        raise DataError(f"{remote.work.what}: cannot read {path} - {str(error.strerror).lower()}") from error
    if (length, found) != (size, digest):
        raise DataError(
            f"{remote.work.what}: blob {digest} is damaged in the store - "
            f"{length} bytes with the digest {found} instead of {size}",
            hint="pull or load the image again",
        )


async def _begin(remote: Remote, digest: str, mount_from: str) -> URL | None:
    """Where to upload to; None when the registry took the blob from `mount_from`."""
    path = f"{remote.name}/blobs/uploads/"
    if mount_from:
        path += f"?mount={digest}&from={mount_from.replace('/', '%2F')}"

    async def attempt() -> URL | None:
        async with remote.send(
            "POST", path, headers={"Content-Length": "0"}, ok=(201, 202), follow=False
        ) as response:
            if response.status == 201:
                return None
            return _location(remote, response.url, response.headers.get("Location", ""))

    return await remote.persevere(attempt)


def _location(remote: Remote, seen_from: URL, value: str) -> URL:
    if not value:
        raise remote.work.broken("an upload without a Location")
    return remote.transport.next_url(remote.work, seen_from, value)


def _with_digest(location: URL, digest: str) -> URL:
    """The upload's address with `digest=`; its own opaque query stays byte for byte as it was."""
    joint = "&" if location.raw_query_string else "?"
    return URL(f"{location}{joint}digest={digest}", encoded=True)


async def _whole(remote: Remote, start: URL, digest: str, source: _Source) -> None:
    """POST then PUT with all bytes; a break begins a new upload."""
    fresh: URL | None = start

    async def attempt() -> None:
        nonlocal fresh
        location, fresh = fresh or await _begin(remote, digest, ""), None
        if location:
            await _put(remote, _with_digest(location, digest), source, 0, source.size)

    await remote.persevere(attempt)


async def _put(
    remote: Remote, url: URL, source: _Source, start: int, end: int, *, patch: bool = False
) -> URL:
    """Send bytes start..end; returns where the upload goes on."""
    options = remote.options
    pace = Pace(options.stall, PIECE)
    headers = {"Content-Type": OCTETS, "Content-Length": str(end - start)}
    if patch:
        headers["Content-Range"] = f"{start}-{end - 1}"
    try:
        async with (
            pace,
            remote.send(
                "PATCH" if patch else "PUT",
                url,
                headers=headers,
                body=(lambda: source.read(pace, start, end, options.finish_timeout)) if end > start else b"",
                ok=(201, 202, 204) if patch else (201, 204),
                follow=False,
                timeout=None,
            ) as response,
        ):
            location = response.headers.get("Location", "")
            return _location(remote, url, location) if location else url
    except TimeoutError as error:
        raise Retry(remote.work.silent("the upload stalled")) from error


async def _in_chunks(remote: Remote, start: URL, digest: str, source: _Source) -> None:
    """PATCH after PATCH, then an empty PUT. After a break the registry is asked how far it came."""
    location, at = start, 0
    while at < source.size:
        broken = False

        async def attempt() -> tuple[URL, int]:
            nonlocal broken, location, at
            if broken:
                location, at = await _status(remote, location, source.size)
            broken = True
            end = min(at + remote.options.chunk, source.size)
            return await _put(remote, location, source, at, end, patch=True), end

        location, at = await remote.persevere(attempt)
    await remote.persevere(lambda: _put(remote, _with_digest(location, digest), source, at, at))


async def _status(remote: Remote, location: URL, size: int) -> tuple[URL, int]:
    """GET the upload: its (new) address and how many bytes it has."""
    async with remote.send("GET", location, ok=(204,), follow=False) as response:
        match = re.fullmatch(r"(?:bytes=)?0-(\d+)", response.headers.get("Range", ""))
        moved = response.headers.get("Location", "")
        at = int(match[1]) + 1 if match and match[1] != "0" else 0  # distribution says 0-0 for empty
        if at > size:
            raise Unavailable(f"{remote.work.what}: the registry has more of the upload than was sent")
        return (_location(remote, location, moved) if moved else location), at


async def push_manifest(remote: Remote, media_type: str, data: bytes) -> str:
    """See `RegistryClient.push_manifest`."""
    digest = digest_of(data)
    target = remote.work.reference.target
    if ":" in target:
        if digest_of(data, target.partition(":")[0]) != target:
            raise DataError(f"{remote.work.what}: the manifest has the digest {digest} instead of {target}")
        digest = target

    async def attempt() -> str:
        async with remote.send(
            "PUT",
            f"{remote.name}/manifests/{target}",
            headers={"Content-Type": media_type},
            body=data,
            ok=(201, 202),
            follow=False,
            timeout=remote.options.finish_timeout,
        ) as response:
            return response.headers.get("Docker-Content-Digest", "") or digest

    said = await remote.persevere(attempt)
    if said != digest and said.startswith("sha256:") == digest.startswith("sha256:"):
        raise remote.work.broken(f"it stored the manifest as {said[:80]} instead of {digest}")
    return digest
