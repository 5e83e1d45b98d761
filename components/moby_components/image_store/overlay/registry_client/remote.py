"""One repository at one registry: requests with the right scheme, the right credentials, and retries."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import TypeVar

import aiohttp
from yarl import URL

from moby_py.errors import MobyError, Unavailable
from moby_py.model import RegistryAuth

from . import auth as authentication
from .docker_config import config_path, credentials, is_empty
from .hosts import Endpoint
from .problems import RETRYABLE, Retry, Work, detail_of
from .transport import Body, Transport, read_limited

T = TypeVar("T")
MAX_ERROR_BODY = 64 << 10
TLS_SECONDS = 5.0  # for the handshake with a host that may speak plain HTTP
log = logging.getLogger("moby_py.registry")


class Remote:
    """`path` arguments are below /v2/ ("library/alpine/manifests/3"). Cheap: one per operation."""

    def __init__(
        self,
        transport: Transport,
        endpoint: Endpoint,
        work: Work,
        auth: RegistryAuth | None,
        *,
        mount_from: str = "",
    ) -> None:
        self.transport, self.endpoint = transport, endpoint
        self.options = transport.options
        self.work = replace(work, via=endpoint.mirror)
        self._given = None if is_empty(auth) else auth
        self._asked = self._given is not None
        name = work.reference.path
        self.scopes = [f"repository:{name}:{'pull,push' if work.verb == 'push' else 'pull'}"] if name else []
        if mount_from:
            self.scopes.append(f"repository:{mount_from}:pull")

    @property
    def name(self) -> str:
        return self.work.reference.path

    async def url(self, path: str) -> URL:
        """Absolute URL of `path`; finds out the scheme first where it is in doubt."""
        scheme = await self._scheme()
        return URL(f"{scheme}://{self.endpoint.netloc}{self.endpoint.prefix}/v2/{path}", encoded=True)

    @asynccontextmanager
    async def send(
        self,
        method: str,
        path: str | URL,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Body | None = None,
        ok: tuple[int, ...] = (200,),
        follow: bool = True,
        timeout: float | None = -1,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One attempt, authenticated. Yields answers with a status in `ok`; else raises Retry
        (`RETRYABLE`) or the MobyError for the status. `timeout` covers the headers."""
        url = path if isinstance(path, URL) else await self.url(path)
        limit = self.options.answer_timeout if timeout == -1 else timeout
        own = url.origin() == (await self.url("")).origin()
        for final in (False, True):
            sent = await self._authorization() if own else None
            all_headers = {**(headers or {}), **({"Authorization": sent} if sent else {})}
            async with self.transport.exchange(
                self.work,
                method,
                url,
                headers=all_headers,
                body=body,
                follow=follow,
                timeout=limit,
                verify=self.endpoint.verify,
            ) as response:
                if response.status in ok:
                    yield response
                    return
                if response.status == 401 and own and not final and await self._learn(response, sent):
                    continue
                await self._refuse(response)

    async def persevere(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Run `attempt` until it gives a result, a final error, or `retries` further tries are spent."""
        for tried in range(self.options.retries + 1):
            try:
                return await attempt()
            except Retry as failure:
                if tried == self.options.retries or failure.after > self.options.max_retry_after:
                    raise failure.error from failure.__cause__
                pause = self.options.backoff * 2**tried * random.uniform(0.75, 1.25)  # noqa: S311
                log.debug("%s; trying again", failure.error.message)
                await asyncio.sleep(max(pause, failure.after))
        raise AssertionError("unreachable")

    async def read(self, response: aiohttp.ClientResponse, limit: int) -> bytes | None:
        """A small body within `answer_timeout`; None when it is longer than `limit`."""
        try:
            async with asyncio.timeout(self.options.answer_timeout):
                return await read_limited(response, limit)
        except TimeoutError as error:
            why = f"the answer was not complete after {self.options.answer_timeout:g} s"
            raise Retry(self.work.silent(why)) from error

    # ------------------------------------------------------------------ inside

    async def _refuse(self, response: aiohttp.ClientResponse) -> None:
        try:
            data = await self.read(response, MAX_ERROR_BODY) or b""
        except (aiohttp.ClientError, OSError, Retry):
            data = b""
        detail = detail_of(data, response.content_type)
        error = self.work.answered(response.status, detail, response.reason or "")
        if response.status in RETRYABLE:
            raise Retry(error, after=_retry_after(response))
        raise error

    async def _scheme(self) -> str:
        endpoint, known = self.endpoint, self.transport.schemes
        if len(endpoint.schemes) == 1:
            return endpoint.schemes[0]
        if endpoint.netloc not in known:
            async with self.transport.locks.setdefault(("scheme", endpoint.netloc), asyncio.Lock()):
                if endpoint.netloc not in known:
                    known[endpoint.netloc] = await self.persevere(self._find_scheme)
        return known[endpoint.netloc]

    async def _find_scheme(self) -> str:
        """TLS first; plain HTTP where TLS cannot be spoken (not where a certificate is bad)."""
        base = f"{self.endpoint.netloc}{self.endpoint.prefix}/v2/"
        try:
            async with self._probe(f"https://{base}", min(self.options.answer_timeout, TLS_SECONDS)):
                return "https"
        except Retry:
            pass  # it hung up or waited in the handshake
        except Unavailable as error:
            why = error.__cause__
            certificate = isinstance(why, aiohttp.ClientConnectorCertificateError)
            if certificate or not isinstance(why, aiohttp.ClientConnectorError):
                raise  # a bad certificate is no reason to go on without one
        async with self._probe(f"http://{base}", self.options.answer_timeout):
            return "http"

    @asynccontextmanager
    async def _probe(self, url: str, limit: float) -> AsyncIterator[None]:
        async with self.transport.exchange(
            self.work, "GET", URL(url), headers={}, follow=False, timeout=limit, verify=self.endpoint.verify
        ):
            yield

    async def _credentials(self) -> RegistryAuth | None:
        if not self._asked:
            path = config_path(self.options.docker_config)
            limit = self.options.helper_timeout
            self._given = await credentials(path, self.endpoint.domain, timeout=limit)
            self._asked = True
        return self._given

    async def _authorization(self) -> str | None:
        """What to send now, from what the registry has asked for before; None before it asked."""
        challenge = self.transport.challenges.get(self.endpoint.netloc)
        if challenge is None:
            return None
        auth = await self._credentials()
        if challenge.scheme == "basic":
            return authentication.basic(auth) if auth and auth.username else None
        if auth and auth.registry_token:
            return f"Bearer {auth.registry_token}"
        key = self._token_key(auth)
        async with self.transport.locks.setdefault(key, asyncio.Lock()):
            token = self.transport.tokens.get(key)
            if token is None or not token.fresh:
                self.transport.forget_stale()
                token = self.transport.tokens[key] = await self._fetch_token(challenge, auth)
        return f"Bearer {token.value}"

    async def _fetch_token(
        self, challenge: authentication.Challenge, auth: RegistryAuth | None
    ) -> authentication.Token:
        scopes = list(self.scopes)
        if challenge.scope and not scopes:
            scopes = [challenge.scope]
        return await authentication.fetch_token(
            self.transport,
            self.work,
            challenge,
            scopes,
            auth,
            verify=self.endpoint.verify,
        )

    def _token_key(self, auth: RegistryAuth | None) -> tuple[object, ...]:
        return ("token", self.endpoint.netloc, tuple(self.scopes), auth)

    async def _learn(self, response: aiohttp.ClientResponse, sent: str | None) -> bool:
        """Take a challenge in. True when another attempt would send something else than `sent`."""
        challenge = authentication.choose(
            authentication.parse_challenges(response.headers.getall("WWW-Authenticate", []))
        )
        if challenge is None:
            return False
        self.transport.challenges[self.endpoint.netloc] = replace(
            challenge, scope="" if self.scopes else challenge.scope
        )
        if sent and sent.startswith("Bearer "):
            self.transport.tokens.pop(self._token_key(await self._credentials()), None)
        again = await self._authorization()
        return again is not None and again != sent


def _retry_after(response: aiohttp.ClientResponse) -> float:
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        import time

        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0


async def first(remotes: list[Remote], attempt: Callable[[Remote], Awaitable[T]]) -> T:
    """The answer of the first remote that has one: mirrors may fail, the last one's error counts."""
    for remote in remotes[:-1]:
        try:
            return await attempt(remote)
        except MobyError as error:
            log.info("%s; asking the next", error.message)
    return await attempt(remotes[-1])
