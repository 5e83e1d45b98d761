"""WWW-Authenticate: Basic, and distribution's Bearer tokens (anonymous, password, identity token).

Specs: distribution docs/spec/auth/{token,oauth}.md, RFC 7235. Tokens live in memory only.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from dataclasses import dataclass
from typing import Any

from yarl import URL

from moby_py.model import RegistryAuth

from .problems import Retry, Work, detail_of
from .transport import Transport, read_limited

MAX_ANSWER = 1 << 20
DEFAULT_LIFETIME = 60.0  # the spec's, when a token does not say
MARGIN = 10.0  # seconds before its end in which a token is not used any more
CLIENT_ID = "moby-py"
_PARAMETER = re.compile(r'([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a registry asks for. `scheme` "basic" or "bearer"."""

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Token:
    value: str
    until: float
    """time.monotonic() from which it is not used."""

    @property
    def fresh(self) -> bool:
        return time.monotonic() < self.until


def parse_challenges(headers: list[str]) -> list[Challenge]:
    """All challenges of all WWW-Authenticate headers; unknown schemes are left out."""
    found = []
    for header in headers:
        pieces = re.split(r"(?:^|,)\s*(basic|bearer)(?=\s|,|$)", header[:8192], flags=re.IGNORECASE)
        for scheme, rest in zip(pieces[1::2], pieces[2::2], strict=True):
            values = {
                m[1].lower(): re.sub(r"\\(.)", r"\1", m[2]) if m[2] is not None else m[3]
                for m in _PARAMETER.finditer(rest)
            }
            found.append(
                Challenge(
                    scheme.lower(),
                    values.get("realm", ""),
                    values.get("service", ""),
                    values.get("scope", ""),
                )
            )
    return found


def choose(challenges: list[Challenge]) -> Challenge | None:
    """Bearer where offered with a realm, else Basic."""
    bearer = [c for c in challenges if c.scheme == "bearer" and c.realm]
    basic = [c for c in challenges if c.scheme == "basic"]
    return next(iter(bearer or basic), None)


def basic(auth: RegistryAuth) -> str:
    """The value of an Authorization header."""
    return "Basic " + base64.b64encode(f"{auth.username}:{auth.password}".encode()).decode()


async def fetch_token(
    transport: Transport,
    work: Work,
    challenge: Challenge,
    scopes: list[str],
    auth: RegistryAuth | None,
    *,
    verify: bool,
) -> Token:
    """Ask the realm, which is TLS unless it is loopback or insecure by the options.

    Raises PermissionDenied (refused), DataError (no token in the answer), Retry (5xx, resets)."""
    url = _realm(transport, work, challenge)
    service = {"service": challenge.service} if challenge.service else {}
    headers = {"Accept": "application/json"}
    if auth and auth.identity_token:
        form = {
            "grant_type": "refresh_token",
            "refresh_token": auth.identity_token,
            "client_id": CLIENT_ID,
            **service,
        }
        if scopes:
            form["scope"] = " ".join(scopes)
        body = str(URL.build(query=form).raw_query_string).encode()
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        return await _ask(transport, work, "POST", url, headers, body, verify=verify)
    query = [*service.items(), *(("scope", scope) for scope in scopes)]
    if auth and auth.username:
        headers["Authorization"] = basic(auth)
        query.append(("account", auth.username))
    query = [*url.query.items(), *query]
    return await _ask(transport, work, "GET", url.with_query(query), headers, None, verify=verify)


def _realm(transport: Transport, work: Work, challenge: Challenge) -> URL:
    try:
        url = URL(challenge.realm)
    except ValueError:
        url = URL("")
    if url.scheme not in ("http", "https") or not url.host or url.user:
        raise work.broken("the realm of its token server is no http address")
    if url.scheme == "http" and not transport.hosts.may_be_plain(url.raw_authority):
        raise work.broken(f"its token server http://{url.raw_authority} is not encrypted")
    return url


async def _ask(
    transport: Transport,
    work: Work,
    method: str,
    url: URL,
    headers: dict[str, str],
    body: bytes | None,
    *,
    verify: bool,
) -> Token:
    limit = transport.options.answer_timeout
    try:
        async with (
            asyncio.timeout(limit),
            transport.exchange(
                work, method, url, headers=headers, body=body, verify=verify, follow=method == "GET"
            ) as response,
        ):
            data = await read_limited(response, MAX_ANSWER)
    except TimeoutError as error:
        raise Retry(work.silent(f"no token within {limit:g} s")) from error
    if data is None:
        raise work.broken("its token server sends more than 1 MiB")
    if response.status >= 500 or response.status == 429:
        detail = detail_of(data, response.content_type)
        raise Retry(work.answered(response.status, detail, response.reason or ""))
    if response.status != 200:
        status = 401 if response.status == 400 else response.status
        raise work.answered(status, detail_of(data, response.content_type), response.reason or "")
    return _token(work, data)


def _token(work: Work, data: bytes) -> Token:
    try:
        found: Any = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    value = (found.get("token") or found.get("access_token")) if isinstance(found, dict) else None
    if not isinstance(value, str) or not re.fullmatch(r"[\x21-\x7e]+", value):
        raise work.broken("its token server gives no token")
    lifetime = found.get("expires_in")
    seconds = float(lifetime) if isinstance(lifetime, int | float) and lifetime > 0 else DEFAULT_LIFETIME
    return Token(value, time.monotonic() + max(seconds - MARGIN, seconds / 2))
