"""Blobs: as fast as the line, continued after a break, and worth nothing before their digest is right."""

from __future__ import annotations

import re
from asyncio import Task, create_task
from pathlib import Path

import aiohttp

from moby_py.errors import MobyError, Unavailable

from .manifests import digest_of, refuse_foreign
from .pace import Meter, Pace
from .partial import Partial
from .problems import Retry
from .remote import Remote
from .types import Descriptor, TransferProgress

BATCH = 1 << 20  # bytes handed to the thread at once
GOOD_PROGRESS = 1 << 20  # an attempt that brought this much gets its retries back


async def fetch_blob(
    remote: Remote,
    descriptor: Descriptor,
    path: Path,
    progress: TransferProgress | None,
    *,
    keep_partial: bool,
) -> None:
    """See `RegistryClient.fetch_blob`."""
    refuse_foreign(remote.work, descriptor)
    algorithm = descriptor.digest.partition(":")[0]
    partial = Partial(path, algorithm, remote.transport.threads)
    remove = True
    try:
        await partial.open(descriptor.size)
        await _complete(remote, descriptor, partial, Meter(progress, descriptor.size))
        partial.keep()
        remove = False
    except Unavailable:
        remove = not keep_partial
        raise
    except OSError as error:
        raise Unavailable(
            f"{remote.work.what}: cannot write {partial.path} - {(error.strerror or str(error)).lower()}",
            hint="free some space, or check the directory",
        ) from error
    finally:
        partial.close(remove=remove)


async def _complete(remote: Remote, descriptor: Descriptor, partial: Partial, meter: Meter) -> None:
    """Fill `partial` until its size and digest are right."""
    inherited = partial.size > 0
    while True:
        await _fill(remote, descriptor, partial, meter)
        if partial.digest == descriptor.digest:
            return
        if not inherited:
            why = f"it has the digest {partial.digest}"
            raise remote.work.wrong_bytes(f"blob {descriptor.digest}", why)
        inherited = False  # what an earlier run left may have been wrong: once more from the start
        await partial.restart()


async def _fill(remote: Remote, descriptor: Descriptor, partial: Partial, meter: Meter) -> None:
    while partial.size < descriptor.size or not descriptor.size:
        try:
            await remote.persevere(lambda: _attempt(remote, descriptor, partial, meter))
        except _Progressed:
            continue
        return


class _Progressed(Exception):
    """The attempt broke, but after so much that the count of retries begins again."""


async def _attempt(remote: Remote, descriptor: Descriptor, partial: Partial, meter: Meter) -> None:
    before = partial.size
    try:
        await _transfer(remote, descriptor, partial, meter)
    except Retry:
        if partial.size - before >= GOOD_PROGRESS:
            raise _Progressed from None
        raise


async def _transfer(remote: Remote, descriptor: Descriptor, partial: Partial, meter: Meter) -> None:
    """One GET of what is missing. Raises Retry when it ends too early."""
    what = f"blob {descriptor.digest}"
    headers = {"Accept": "*/*"}
    if partial.size:
        headers["Range"] = f"bytes={partial.size}-"
    async with remote.send(
        "GET", f"{remote.name}/blobs/{descriptor.digest}", headers=headers, ok=(200, 206, 416)
    ) as response:
        if partial.size and not _continues(response, partial.size, descriptor.size):
            await partial.restart()
            if response.status != 200:
                raise Retry(remote.work.broken("it cannot continue a download"))
        elif response.status != (206 if partial.size else 200):
            raise remote.work.broken(f"status {response.status} for a whole blob")
        missing = descriptor.size - partial.size
        if response.content_length not in (None, missing):
            why = f"the registry announces {response.content_length} bytes, the manifest {missing}"
            raise remote.work.wrong_bytes(what, why)
        try:
            await _receive(remote, response, descriptor, partial, meter)
        except TimeoutError as error:
            why = f"{what} stalled at {partial.size} of {descriptor.size} bytes"
            raise Retry(remote.work.silent(why)) from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise Retry(_truncated(remote, descriptor, partial)) from error
    if partial.size < descriptor.size:
        raise Retry(_truncated(remote, descriptor, partial))


async def _receive(
    remote: Remote, response: aiohttp.ClientResponse, descriptor: Descriptor, partial: Partial, meter: Meter
) -> None:
    """Read into batches; one batch is hashed and written while the next arrives."""
    options = remote.options
    least = int(options.stall * options.min_rate)
    room = descriptor.size - partial.size
    batch: list[bytes] = []
    filled = 0
    writing: Task[None] | None = None
    try:
        async with Pace(options.stall, least) as pace:
            while not response.content.at_eof():
                chunk, _ = await response.content.readchunk()  # readany would join, and so copy
                room -= len(chunk)
                if room < 0:
                    why = f"more than the {descriptor.size} bytes of the manifest came"
                    raise remote.work.wrong_bytes(f"blob {descriptor.digest}", why)
                batch.append(chunk)
                filled += len(chunk)
                pace.moved(len(chunk))
                if filled >= BATCH:
                    if writing:
                        await writing
                    writing = create_task(partial.write(batch))
                    batch, filled = [], 0
                    meter.at(descriptor.size - room)
    finally:
        if writing:
            await writing
        if batch:
            await partial.write(batch)  # also after a break: the next attempt goes on from here
    meter.at(descriptor.size - room)


def _continues(response: aiohttp.ClientResponse, at: int, size: int) -> bool:
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    return bool(response.status == 206 and match and int(match[1]) == at and match[2] in ("*", str(size)))


def _truncated(remote: Remote, descriptor: Descriptor, partial: Partial) -> MobyError:
    why = f"it ended after {partial.size} of {descriptor.size} bytes"
    return remote.work.wrong_bytes(f"blob {descriptor.digest}", why)


async def fetch_bytes(remote: Remote, descriptor: Descriptor) -> bytes:
    """See `RegistryClient.fetch_bytes`."""
    limit = remote.options.max_manifest
    what = f"blob {descriptor.digest}"
    if descriptor.size > limit:
        raise remote.work.broken(f"{what} should be small and has {descriptor.size} bytes")

    async def attempt() -> bytes:
        async with remote.send("GET", f"{remote.name}/blobs/{descriptor.digest}") as response:
            data = await remote.read(response, descriptor.size)
        if data is None or len(data) != descriptor.size:
            came = "more" if data is None else f"{len(data)}"
            raise remote.work.wrong_bytes(what, f"{came} instead of {descriptor.size} bytes came")
        found = digest_of(data, descriptor.digest.partition(":")[0])
        if found != descriptor.digest:
            raise remote.work.wrong_bytes(what, f"it has the digest {found}")
        return data

    return await remote.persevere(attempt)
