"""From what a user types to what the image store takes, by Docker's order: a name goes before an id."""

from __future__ import annotations

import re

from moby_py.errors import InvalidArgument, NotFound
from moby_py.kinds import ImageStore
from moby_py.model import ImageRecord
from moby_py.reference import parse

_ID = re.compile(r"(sha256:)?[0-9a-f]{4,64}")


async def resolve(store: ImageStore, typed: str) -> tuple[str, ImageRecord]:
    """(the reference or id that found it, the image). Raises NotFound "No such image: X" and
    InvalidArgument for what can be neither a name nor an id."""
    candidates = []
    try:
        candidates.append(str(parse(typed)))
    except InvalidArgument:
        if not _ID.fullmatch(typed):
            raise
    if _ID.fullmatch(typed):
        candidates.append(typed)
    for candidate in candidates:
        try:
            return candidate, await store.inspect(candidate)
        except NotFound:
            continue
    shown = (
        typed
        if "@" in typed or ":" in typed.rpartition("/")[2] or _ID.fullmatch(typed)
        else typed + ":latest"
    )
    raise NotFound(f"No such image: {shown}")


def with_tag(repository: str, tag: str) -> str:
    """Full reference of `repo` and `tag` as the API passes them; the tag may be a digest.
    Raises InvalidArgument."""
    reference = parse(repository)
    if tag.startswith("sha256:"):
        return str(reference.with_digest(tag))
    return str(reference.with_tag(tag)) if tag else str(reference)


def familiar(reference: str) -> str:
    """ "docker.io/library/alpine:3" -> "alpine:3"; what is no reference stays."""
    try:
        return parse(reference, default_tag="").familiar()
    except InvalidArgument:
        return reference
