"""Image references: what a user types -> one full, comparable name.

    parse("alpine")                  docker.io/library/alpine:latest
    parse("localhost:5000/a/b:v1")   localhost:5000/a/b:v1
    parse("a@sha256:...")            docker.io/library/a@sha256:...
    parse("alpine:3").familiar()     alpine:3

The grammar and the rules for the first component (domain or not?) are those of
github.com/distribution/reference; the refusals use Docker's own words. Pure and quick to import.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache

from moby_py.errors import InvalidArgument

DEFAULT_DOMAIN = "docker.io"
LEGACY_DOMAIN = "index.docker.io"
OFFICIAL = "library/"
DEFAULT_TAG = "latest"
MAX_NAME = 255
MAX_TEXT = 4096  # Go has no such bound; ours keeps hostile input cheap

_COMPONENT = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"(?:{_COMPONENT}(?:\.{_COMPONENT})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_HEX_DIGITS = {"sha256": 64, "sha384": 96, "sha512": 128}
_SHAPE = "write [HOST[:PORT]/]NAME[:TAG][@DIGEST]"


@cache
def _grammar() -> re.Pattern[str]:
    return re.compile(rf"({_DOMAIN})/({_PART}(?:/{_PART})*)(?::({_TAG}))?(?:@({_DIGEST}))?")


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """A full reference: `domain` and `path` are never empty; `tag` and `digest` may be.

    With both, the digest decides what is fetched and the tag is a name only.
    """

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """Repository with its domain: "docker.io/library/alpine"."""
        return f"{self.domain}/{self.path}"

    @property
    def target(self) -> str:
        """What a registry is asked for: the digest where there is one, else the tag."""
        return self.digest or self.tag

    def __str__(self) -> str:
        return self.name + self._suffix()

    def familiar(self) -> str:
        """The short form Docker shows: without "docker.io/" and, one level deep, "library/"."""
        return self.familiar_name() + self._suffix()

    def familiar_name(self) -> str:
        """`familiar()` without tag and digest."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        rest = self.path.removeprefix(OFFICIAL)
        return self.path if "/" in rest else rest

    def with_tag(self, tag: str) -> Reference:
        """Same repository under another tag, without digest. Raises InvalidArgument."""
        if not re.fullmatch(_TAG, tag):
            raise InvalidArgument("invalid tag format", hint=_SHAPE)
        return replace(self, tag=tag, digest="")

    def with_digest(self, digest: str) -> Reference:
        """Same repository at a digest, without tag. Raises InvalidArgument."""
        return replace(self, tag="", digest=check_digest(digest))

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse(text: str, *, default_tag: str = DEFAULT_TAG) -> Reference:
    """`text` as a full reference. `default_tag` is set where neither tag nor digest is given
    ("" leaves it so: all tags of a repository). Raises InvalidArgument with Docker's words."""
    if not text:
        raise InvalidArgument("repository name must have at least one component", hint=_SHAPE)
    if re.fullmatch("[a-f0-9]{64}", text):
        raise InvalidArgument(
            f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings",
            hint="an image id is not a name; pull and tag by name",
        )
    domain, rest = _split(text)
    remote = rest.partition(":")[0]
    if remote.lower() != remote and len(text) <= MAX_TEXT:
        raise InvalidArgument(
            f"invalid reference format: repository name ({remote}) must be lowercase",
            hint=f'did you mean "{_lower_path(text)}"?',
        )
    match = _grammar().fullmatch(f"{domain}/{rest}") if len(text) <= MAX_TEXT else None
    if match is None:
        raise InvalidArgument("invalid reference format", hint=_SHAPE)
    domain, path, tag, digest = match[1], match[2], match[3] or "", match[4] or ""
    if len(path) > MAX_NAME:
        raise InvalidArgument(f"repository name must not be more than {MAX_NAME} characters", hint=_SHAPE)
    if digest:
        check_digest(digest)
    elif not tag:
        tag = default_tag
    return Reference(domain, path, tag, digest)


def check_digest(digest: str) -> str:
    """`digest` when it is a whole sha256, sha384 or sha512 one, else InvalidArgument in go-digest's words."""
    algorithm, colon, encoded = digest.partition(":")
    if not colon or not encoded:
        raise InvalidArgument("invalid checksum digest format", hint="a digest is sha256:<64 hex digits>")
    if algorithm not in _HEX_DIGITS:
        raise InvalidArgument("unsupported digest algorithm", hint="use sha256 or sha512")
    if len(encoded) != _HEX_DIGITS[algorithm]:
        raise InvalidArgument("invalid checksum digest length", hint="a digest is sha256:<64 hex digits>")
    if not re.fullmatch("[0-9a-f]+", encoded):
        raise InvalidArgument("invalid checksum digest format", hint="a digest is sha256:<64 hex digits>")
    return digest


def _lower_path(text: str) -> str:
    """`text` with the repository's path in lower case; host, tag and digest as they were."""
    name, at, digest = text.partition("@")
    host, slash, path = name.rpartition("/")
    path, colon, tag = path.partition(":")
    first, more, rest = host.partition("/")
    host = first + more + rest.lower()
    return f"{host}{slash}{path.lower()}{colon}{tag}{at}{digest}"


def _split(text: str) -> tuple[str, str]:
    """(domain, rest). The first component is a domain when it cannot be a namespace of Docker Hub."""
    first, slash, rest = text.partition("/")
    if not slash:
        return DEFAULT_DOMAIN, OFFICIAL + text
    if first == LEGACY_DOMAIN:
        domain = DEFAULT_DOMAIN
    elif first == "localhost" or "." in first or ":" in first or first.lower() != first:
        domain = first
    else:
        domain, rest = DEFAULT_DOMAIN, text
    if domain == DEFAULT_DOMAIN and "/" not in rest:
        rest = OFFICIAL + rest
    return domain, rest
