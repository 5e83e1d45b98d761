"""Token servers that lie, and registries that point at them; credentials go where they belong only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from moby_components.image_store.overlay.registry_client import RegistryClient, RegistryOptions
from moby_py.errors import DataError, MobyError, PermissionDenied, Unavailable
from moby_py.model import RegistryAuth
from support.raw_http import MANIFEST, Raw, Request, answer, manifest, raw, sha256

ME = RegistryAuth(username="me", password="pw")
Tokens = Callable[[asyncio.StreamWriter], Awaitable[None] | None]


def ask(
    options: RegistryOptions, tokens: Tokens, *, realm: str = "", auth: RegistryAuth | None = ME
) -> tuple[MobyError | None, Raw]:
    """Resolve an image at a registry that wants a token of `realm` (its own /token unless given)."""

    async def main() -> tuple[MobyError | None, Raw]:
        async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
            if request.path.startswith("/token"):
                done = tokens(writer)
                if done is not None:
                    await done
            elif request.headers.get("authorization") == "Bearer good":
                answer(writer, body=manifest(), Content_Type=MANIFEST)
            else:
                where = realm or f"http://{server.address}/token?tenant=a%26b"
                answer(writer, 401, WWW_Authenticate=f'Bearer realm="{where}",service="s v"')

        async with raw(handler) as server, RegistryClient(options) as client:
            try:
                await client.resolve(f"{server.address}/a/b:1", auth=auth)
            except MobyError as error:
                error.message = error.message.replace(server.address, "HOST")
                return error, server
            return None, server

    return asyncio.run(main())


async def hang(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def trickle(writer: asyncio.StreamWriter) -> None:
    answer(writer, length=10_000)
    for _ in range(1000):
        writer.write(b" ")
        await asyncio.sleep(0.05)


def says(body: bytes, status: int = 200, **headers: str) -> Tokens:
    return lambda writer: answer(writer, status, body, **headers)


NONSENSE = "registry answered nonsense - "


@pytest.mark.parametrize(
    ("tokens", "kind", "message"),
    [
        (hang, Unavailable, "registry does not answer - no token within 0.5 s"),
        (trickle, Unavailable, "registry does not answer - no token within 0.5 s"),
        (says(b"<html>"), DataError, NONSENSE + "its token server gives no token"),
        (says(b'{"token":""}'), DataError, NONSENSE + "its token server gives no token"),
        (says(b'{"token":"a\\r\\nX-Evil: 1"}'), DataError, NONSENSE + "its token server gives no token"),
        (says(b'{"token":5}'), DataError, NONSENSE + "its token server gives no token"),
        (says(b" " * 2_000_000), DataError, NONSENSE + "its token server sends more than 1 MiB"),
        (says(b'{"token":"bad"}'), PermissionDenied, "registry answered 401 - X"),
        (says(b'{"details":"who?"}', 403), PermissionDenied, "registry answered 403 - who?"),
        (says(b"", 502), Unavailable, "registry answered 502 - X"),
        (
            says(b"", 302, Location="http://evil.example/"),
            DataError,
            NONSENSE + "it points to http://evil.example, which is not encrypted",
        ),
    ],
)
def test_tokens(tokens: Tokens, kind: type[MobyError], message: str, options: RegistryOptions) -> None:
    began = time.monotonic()
    error, _ = ask(options, tokens)
    assert error
    assert error.message == f"cannot pull HOST/a/b:1: {message}"
    assert type(error) is kind
    assert time.monotonic() - began < 4


@pytest.mark.parametrize(
    ("realm", "why"),
    [
        ("http://auth.example/token", "its token server http://auth.example is not encrypted"),
        ("/token", "the realm of its token server is no http address"),
        ("file:///etc/passwd", "the realm of its token server is no http address"),
        ("http://u:p@127.0.0.1/", "the realm of its token server is no http address"),
        ("http://[::1", "the realm of its token server is no http address"),
    ],
)
def test_realms(realm: str, why: str, options: RegistryOptions) -> None:
    error, server = ask(options, says(b'{"token":"good"}'), realm=realm)
    assert error
    assert error.message == f"cannot pull HOST/a/b:1: {NONSENSE}{why}"
    assert server.of("/token") == []


def test_what_a_token_server_is_told(options: RegistryOptions) -> None:
    error, server = ask(options, says(b'{"access_token":"good","expires_in":60}'))
    assert error is None
    (request,) = server.of("/token")
    assert request.path == (
        "/token?tenant=a%26b&service=s+v&scope=repository:a/b:pull&account=me"
    ) or request.path == ("/token?tenant=a%26b&service=s+v&scope=repository%3Aa%2Fb%3Apull&account=me")
    assert request.headers["authorization"] == "Basic bWU6cHc="
    error, server = ask(options, says(b'{"token":"good"}'), auth=RegistryAuth(identity_token="id&tok"))
    assert error is None
    (request,) = server.of("/token")
    assert request.method == "POST"
    assert b"refresh_token=id%26tok" in request.body
    assert b"grant_type=refresh_token" in request.body
    assert "id" not in request.path
    error, server = ask(options, says(b'{"token":"good"}'), auth=None)
    assert error is None
    assert "authorization" not in server.of("/token")[0].headers


def test_a_registry_that_never_has_enough(options: RegistryOptions) -> None:
    """Two attempts, not an endless dance."""
    error, server = ask(options, says(b'{"token":"bad"}'))
    assert type(error) is PermissionDenied
    assert len(server.of("/manifests/")) == 2
    assert len(server.of("/token")) == 1


def test_tags_that_never_end(options: RegistryOptions) -> None:
    async def tags(*links: str) -> str:
        async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
            if not request.path.startswith("/v2/a/b/tags"):
                return answer(writer)
            link = links[min(len(server.of("/tags/list")), len(links)) - 1]
            return answer(writer, body=b'{"tags":["x"]}', Link=f'<{link}>; rel="next"' if link else "")

        async with raw(handler) as server, RegistryClient(options) as client:
            try:
                return ",".join(await client.tags(f"{server.address}/a/b"))
            except MobyError as error:
                return error.message.rpartition(" - ")[2]

    first = "/v2/a/b/tags/list"
    assert asyncio.run(tags(f"{first}?last=x", f"{first}?last=y", "")) == "x,x,x"
    assert asyncio.run(tags(f"{first}?last=x")) == "its list of tags goes round in a circle"
    assert asyncio.run(tags("http://localhost:1/x")) == "its list of tags goes on at another host"


def test_through_a_proxy(options: RegistryOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    async def proxy(request: Request, writer: asyncio.StreamWriter) -> None:
        answer(writer, body=manifest(), Content_Type=MANIFEST)

    async def main() -> tuple[str, Raw]:
        async with raw(proxy) as server:
            monkeypatch.setenv("http_proxy", f"http://{server.address}")
            for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
                monkeypatch.delenv(name, raising=False)
            allowed = replace(options, use_proxies=True, insecure=("registry.invalid",))
            async with RegistryClient(allowed) as client:
                return (await client.resolve("registry.invalid/a/b:1")).digest, server

    digest, server = asyncio.run(main())
    assert digest == sha256(manifest())
    assert server.requests[-1].path == "http://registry.invalid/v2/a/b/manifests/1"
