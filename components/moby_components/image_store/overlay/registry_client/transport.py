"""One HTTP exchange: connect, redirects, limits, and every failure of the network told in our words.

Knows nothing of registries' authentication or retries; `remote` does.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from yarl import URL

from moby_py.errors import MobyError

from .hosts import Hosts
from .problems import Retry, Work, readable
from .types import RegistryOptions

Body = Callable[[], AsyncIterator[bytes]]
"""Makes the request body anew for each attempt."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})
READ_BUFFER = 2 << 20
USER_AGENT = "moby-py"


class Transport:
    """The connections of one client, its threads for hashing and its remembered tokens."""

    def __init__(self, options: RegistryOptions) -> None:
        self.options = options
        self.hosts = Hosts(options)
        self.schemes: dict[str, str] = {}
        """netloc -> the scheme that answered, where it was in doubt."""
        self.challenges: dict[str, Any] = {}
        self.tokens: dict[Any, Any] = {}
        self.locks: dict[Any, asyncio.Lock] = {}
        self._session: aiohttp.ClientSession | None = None
        self._threads: ThreadPoolExecutor | None = None

    @property
    def threads(self) -> ThreadPoolExecutor:
        """For hashing and writing: both release the interpreter."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(4, thread_name_prefix="registry")
        return self._threads

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=64, keepalive_timeout=15),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                read_bufsize=READ_BUFFER,
                headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.options.connect_timeout),
            )
        return self._session

    def forget_stale(self) -> None:
        """Drop tokens that ended, with the locks nobody holds: a daemon lives long."""
        for key in [key for key, token in self.tokens.items() if not token.fresh]:
            del self.tokens[key]
            if key in self.locks and not self.locks[key].locked():
                del self.locks[key]

    async def close(self) -> None:
        session, self._session = self._session, None
        threads, self._threads = self._threads, None
        if session:
            await session.close()
        if threads:
            threads.shutdown(wait=False, cancel_futures=True)

    @asynccontextmanager
    async def exchange(
        self,
        work: Work,
        method: str,
        url: URL,
        *,
        verify: bool = True,
        headers: Mapping[str, str],
        body: bytes | Body | None = None,
        follow: bool = True,
        timeout: float | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, its body not yet read. `timeout` seconds for its headers (None: the caller
        watches); Authorization goes to the first origin only. Raises Retry or a MobyError."""
        try:
            async with asyncio.timeout(timeout):
                response = await self._send(work, method, url, verify, dict(headers), body, follow)
        except aiohttp.ConnectionTimeoutError as error:  # also a TimeoutError
            raise self.told(work, error) from error
        except TimeoutError as error:
            raise Retry(work.silent(f"nothing within {timeout or 0:g} s")) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self.told(work, error) from error
        try:
            yield response
        except (aiohttp.ClientError, ConnectionError) as error:
            raise self.told(work, error) from error
        finally:
            if response.content.at_eof():
                response.release()
            else:
                response.close()

    async def _send(
        self,
        work: Work,
        method: str,
        url: URL,
        verify: bool,
        headers: dict[str, str],
        body: bytes | Body | None,
        follow: bool,
    ) -> aiohttp.ClientResponse:
        origin = url
        for _ in range(self.options.max_redirects + 1):
            netloc = url.raw_authority
            same = url.origin() == origin.origin()
            context: ssl.SSLContext | bool = True
            if url.scheme == "https":
                context = self.hosts.context(netloc, verify=verify if same else True)
            response = await self.session.request(
                method,
                url,
                headers=headers,
                data=body() if callable(body) else body,
                ssl=context,
                proxy=self.hosts.proxy(url.scheme, netloc),
                allow_redirects=False,
            )
            if response.status not in REDIRECTS or not follow:
                return response
            target = response.headers.get("Location", "")
            response.close()
            url = self.next_url(work, url, target)
            if url.origin() != origin.origin():
                headers.pop("Authorization", None)
        raise work.broken(f"it redirects more than {self.options.max_redirects} times")

    def next_url(self, work: Work, url: URL, target: str) -> URL:
        """`target` of a Location or Link header, seen from `url`. Never from TLS to plain HTTP."""
        try:
            found = url.join(URL(target, encoded=True)) if target else None
        except ValueError:
            found = None
        if found is None or found.scheme not in ("http", "https") or not found.raw_host:
            raise work.broken(f'it points to "{readable(target)}", which is no http address')
        if found.scheme == "http" and not self.hosts.may_be_plain(found.raw_authority):
            raise work.broken(f"it points to http://{readable(found.raw_authority)}, which is not encrypted")
        if url.scheme == "https" and found.scheme == "http" and found.raw_authority == url.raw_authority:
            raise work.broken("it points from https to http on the same host")
        return found

    def told(self, work: Work, error: Exception) -> MobyError | Retry:
        """A failure of aiohttp or the socket in our words; Retry where another attempt may help."""
        where = _where(error)
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            why = readable(getattr(error.certificate_error, "verify_message", "") or "verification failed")
            folder = self.options.certificates[0] if self.options.certificates else "certs.d"
            return work.unreachable(
                f"the certificate of {where} is not trusted: {why}",
                hint=f"put its CA into {folder}/{where}/ca.crt",
            )
        if isinstance(error, aiohttp.ClientConnectorSSLError):
            return work.unreachable(
                f"no TLS with {where}: {readable(str(error.os_error))}",
                hint=f"is it plain HTTP? then list {where} as insecure",
            )
        if isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
            return work.unreachable(f"the proxy refused: {readable(str(error))}", hint="check HTTPS_PROXY")
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            return work.unreachable(f"{where} is not a known name", hint="check the name and the DNS")
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return work.unreachable(f"{where} did not answer within {self.options.connect_timeout:g} s")
        if isinstance(error, aiohttp.ClientConnectorError):
            return work.unreachable(f"{where}: {_system(error.os_error)}")
        if isinstance(error, aiohttp.ClientResponseError | aiohttp.InvalidURL | ValueError):
            return work.broken(f"it is not HTTP: {readable(_message(error))}")
        if alert := _alert(error):
            hint = "does it ask for a client certificate? .cert and .key go where its CA goes"
            return work.unreachable(f"TLS was refused: {alert}", hint=hint)
        if isinstance(error, aiohttp.ServerDisconnectedError):
            return Retry(work.silent("it closed the connection without an answer"))
        if isinstance(error, aiohttp.ClientPayloadError):
            return Retry(work.silent("it closed the connection in the middle of an answer"))
        return Retry(work.silent(f"the connection broke: {_system(error)}"))


def _where(error: Exception) -> str:
    host, port = getattr(error, "host", ""), getattr(error, "port", None)
    return f"{host}:{port}" if port not in (None, 443) else str(host)


def _alert(error: BaseException | None) -> str:
    """The TLS alert behind a failure after the handshake (TLS 1.3 asks for certificates that late)."""
    for _ in range(4):
        if isinstance(error, ssl.SSLError) and error.reason:
            return error.reason.lower().replace("_", " ")
        error = error.__cause__ or error.__context__ if error else None
    return ""


def _system(error: Exception) -> str:
    """Without the addresses and numbers that asyncio adds."""
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if number else readable(_message(error))


def _message(error: Exception) -> str:
    text = getattr(error, "message", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0]


async def read_limited(response: aiohttp.ClientResponse, limit: int) -> bytes | None:
    """The whole body when it is at most `limit` bytes, else None."""
    if response.content_length is not None and response.content_length > limit:
        return None
    data = bytearray()
    while chunk := await response.content.readany():
        data += chunk
        if len(data) > limit:
            return None
    return bytes(data)
