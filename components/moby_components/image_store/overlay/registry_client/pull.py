"""Reading names: manifests by tag or digest, platforms, tags, and whether a registry knows us."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from .manifests import ACCEPT, Fetched, check, contents, select
from .platforms import parse_platform
from .remote import Remote
from .types import INDEXES, Descriptor, Resolved

MAX_DEPTH = 3  # indexes within indexes
MAX_TAGS = 200_000


async def resolve(remote: Remote, platform: str) -> Resolved:
    """See `RegistryClient.resolve`."""
    wanted = parse_platform(platform)
    top = found = await fetch_manifest(remote, remote.work.reference.target)
    chosen = ""
    for _ in range(MAX_DEPTH):
        if found.media_type not in INDEXES:
            break
        entry, chosen = select(remote.work, found, wanted)
        found = await fetch_manifest(remote, entry.digest)
        if len(found.data) != entry.size:
            why = f"it has {len(found.data)} bytes, the index says {entry.size}"
            raise remote.work.wrong_bytes("the manifest", why)
    else:
        raise remote.work.broken(f"more than {MAX_DEPTH} indexes within each other")
    config, layers = contents(remote.work, found)
    has_index = top is not found
    return Resolved(
        reference=remote.work.reference,
        digest=top.digest,
        index=top.data if has_index else None,
        index_media_type=top.media_type if has_index else "",
        manifest=found.data,
        manifest_digest=found.digest,
        manifest_media_type=found.media_type,
        config=config,
        layers=layers,
        platform=chosen,
    )


async def fetch_manifest(remote: Remote, target: str) -> Fetched:
    """Manifest or index at a tag or a digest, checked."""
    wanted = target if ":" in target else ""
    path = f"{remote.name}/manifests/{target}"

    async def attempt() -> Fetched:
        async with remote.send("GET", path, headers={"Accept": ACCEPT}) as response:
            data = await remote.read(response, remote.options.max_manifest)
            if data is None:
                raise remote.work.broken(f"a manifest of more than {remote.options.max_manifest >> 20} MiB")
            announced = response.headers.get("Docker-Content-Digest", "")
            return check(remote.work, data, response.content_type, wanted=wanted, announced=announced)

    return await remote.persevere(attempt)


async def head_manifest(remote: Remote) -> Descriptor:
    """See `RegistryClient.head_manifest`. A registry that does not say the digest is asked for the bytes."""
    path = f"{remote.name}/manifests/{remote.work.reference.target}"

    async def attempt() -> tuple[str, str, int | None]:
        async with remote.send("HEAD", path, headers={"Accept": ACCEPT}) as response:
            digest = response.headers.get("Docker-Content-Digest", "")
            return digest, response.content_type, response.content_length

    digest, media_type, size = await remote.persevere(attempt)
    if not re.fullmatch(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}", digest) or size is None:
        found = await fetch_manifest(remote, remote.work.reference.target)
        return Descriptor(media_type=found.media_type, digest=found.digest, size=len(found.data))
    return Descriptor(media_type=media_type, digest=digest, size=size)


async def tags(remote: Remote) -> list[str]:
    """See `RegistryClient.tags`. Follows the pages (Link: <...>; rel="next")."""
    found: list[str] = []
    url = await remote.url(f"{remote.name}/tags/list")
    origin = url.origin()
    seen = set()
    while url not in seen:
        seen.add(url)
        here = url

        async def attempt() -> tuple[Mapping[str, object], str]:
            async with remote.send("GET", here) as response:  # noqa: B023 - awaited before `here` changes
                data = await remote.read(response, remote.options.max_manifest)
                return _json(remote, data), response.headers.get("Link", "")

        body, link = await remote.persevere(attempt)
        page = body.get("tags") or []
        if not isinstance(page, list) or not all(isinstance(tag, str) for tag in page):
            raise remote.work.broken("its list of tags is none")
        found += page
        if len(found) > MAX_TAGS:
            raise remote.work.broken(f"more than {MAX_TAGS} tags")
        match = re.match(r'\s*<([^>]*)>\s*;\s*rel="?next"?', link)
        if match is None:
            return found
        url = remote.transport.next_url(remote.work, url, match[1])
        if url.origin() != origin:
            raise remote.work.broken("its list of tags goes on at another host")
    raise remote.work.broken("its list of tags goes round in a circle")


async def ping(remote: Remote) -> None:
    """See `RegistryClient.ping`."""

    async def attempt() -> None:
        async with remote.send("GET", "") as response:
            await remote.read(response, remote.options.max_manifest)

    await remote.persevere(attempt)


def _json(remote: Remote, data: bytes | None) -> Mapping[str, object]:
    try:
        found = json.loads(data or b"")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise remote.work.broken("no JSON object where the list of tags should be")
    return found
