"""A registry that lies, hangs or answers garbage when it is asked for a manifest: a clear error, soon."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from moby_components.image_store.overlay.registry_client import RegistryClient, RegistryOptions
from moby_py.errors import DataError, MobyError, NotFound, PermissionDenied, Unavailable, Unsupported
from support.raw_http import LAYER, MANIFEST, Request, answer, manifest, raw, sha256

INDEX = "application/vnd.oci.image.index.v1+json"
SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
Write = Callable[[asyncio.StreamWriter], Any]


def layer(**changes: Any) -> dict[str, Any]:
    return {"mediaType": LAYER, "digest": sha256(b"x"), "size": 1} | changes


def index(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()


def plain(body: bytes, content_type: str = MANIFEST, **more: Any) -> Write:
    return lambda writer: answer(writer, body=body, Content_Type=content_type, **more)


def status(number: int, body: bytes = b"", **headers: str) -> Write:
    return lambda writer: answer(writer, number, body, **headers)


async def hang(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def trickle_headers(writer: asyncio.StreamWriter) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 1000:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.05)


async def trickle_body(writer: asyncio.StreamWriter) -> None:
    answer(writer, body=b"{", length=100_000, Content_Type=MANIFEST)
    for _ in range(1000):
        writer.write(b" ")
        await asyncio.sleep(0.05)


async def endless(writer: asyncio.StreamWriter) -> None:
    answer(writer, length=None, Content_Type=MANIFEST)
    for _ in range(64):
        writer.write(b" " * 1_000_000)
        await writer.drain()


def text(writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example.com ESMTP\r\n\r\n")


def many_headers(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n")


NONSENSE = "registry answered nonsense - "
SILENT = "registry does not answer - "
CASES: dict[str, tuple[Write, type[MobyError], str]] = {
    "hangs": (hang, Unavailable, SILENT + "nothing within 0.5 s"),
    "slow headers": (trickle_headers, Unavailable, SILENT + "nothing within 0.5 s"),
    "slow body": (trickle_body, Unavailable, SILENT + "the answer was not complete after 0.5 s"),
    "hangs up": (
        lambda writer: None,
        Unavailable,
        SILENT + "it closed the connection without an answer",
    ),
    "endless": (endless, DataError, NONSENSE + "a manifest of more than 4 MiB"),
    "announced too big": (
        lambda writer: answer(writer, length=5 << 20, Content_Type=MANIFEST),
        DataError,
        NONSENSE + "a manifest of more than 4 MiB",
    ),
    "shorter than announced": (
        plain(b'{"schemaVersion"', length=900),
        Unavailable,
        SILENT + "it closed the connection in the middle of an answer",
    ),
    "web page": (
        plain(b"<!DOCTYPE html><p>hi", "text/html"),
        DataError,
        NONSENSE + "a web page instead of a manifest",
    ),
    "web page in disguise": (plain(b" <html>"), DataError, NONSENSE + "a web page instead of a manifest"),
    "not json": (plain(b"{"), DataError, NONSENSE + "a manifest that is not JSON"),
    "not utf-8": (plain(b'"\xff\xfe"'), DataError, NONSENSE + "a manifest that is not JSON"),
    "deep json": (plain(b"[" * 200_000), DataError, NONSENSE + "a manifest that is not JSON"),
    "a list": (plain(b"[]"), DataError, NONSENSE + "a manifest that is not a JSON object"),
    "empty": (plain(b""), DataError, NONSENSE + "a manifest that is not JSON"),
    "no version": (plain(b"{}"), DataError, NONSENSE + "a manifest without schemaVersion 2"),
    "two types": (
        plain(manifest(), INDEX),
        DataError,
        NONSENSE + f"a manifest that is {MANIFEST} inside and {INDEX} outside",
    ),
    "both kinds": (
        plain(manifest(manifests=[])),
        DataError,
        NONSENSE + f"a manifest whose fields do not fit its type {MANIFEST}",
    ),
    "wrong header digest": (
        plain(b"{}", Docker_Content_Digest="sha256:" + "0" * 64),
        DataError,
        f"the manifest is damaged - it has the digest {sha256(b'{}')} instead of sha256:{'0' * 64}",
    ),
    "bad header digest": (
        plain(b"{}", Docker_Content_Digest="md5:0"),
        DataError,
        NONSENSE + 'the digest "md5:0": unsupported digest algorithm',
    ),
    "schema 1": (
        plain(b'{"schemaVersion":1,"fsLayers":[]}', SCHEMA1),
        Unsupported,
        "the image has a manifest of schema 1, which is obsolete and not verifiable",
    ),
    "an artifact": (
        plain(
            manifest(
                config={
                    "mediaType": "application/vnd.cncf.helm.config.v1+json",
                    "digest": sha256(b""),
                    "size": 0,
                }
            )
        ),
        Unsupported,
        "it is an artifact of type application/vnd.cncf.helm.config.v1+json, not a container image",
    ),
    "unknown type": (
        plain(manifest(mediaType="application/x-other"), "application/x-other"),
        Unsupported,
        "it is application/x-other, not a container image",
    ),
    "foreign layer": (
        plain(
            manifest(
                layers=[
                    layer(
                        mediaType="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                        urls=["http://x"],
                    )
                ]
            )
        ),
        Unsupported,
        f"layer {sha256(b'x')} is not distributed by the registry "
        "(application/vnd.docker.image.rootfs.foreign.diff.tar.gzip)",
    ),
    "layers are no list": (plain(manifest(layers={})), DataError, NONSENSE + "its layers are not a list"),
    "too many layers": (
        plain(manifest(layers=[layer()] * 2001)),
        DataError,
        NONSENSE + "it has more than 2000 layers",
    ),
    "layer is text": (
        plain(manifest(layers=["x"])),
        DataError,
        NONSENSE + "a layer of the manifest is not a descriptor",
    ),
    "no digest": (
        plain(manifest(layers=[layer(digest=None)])),
        DataError,
        NONSENSE + "a layer of the manifest has no mediaType or no digest",
    ),
    "path as digest": (
        plain(manifest(layers=[layer(digest="sha256:../../../etc/passwd")])),
        DataError,
        NONSENSE + 'the digest "sha256:../../../etc/passwd": invalid checksum digest length',
    ),
    "negative size": (
        plain(manifest(layers=[layer(size=-1)])),
        DataError,
        NONSENSE + "a layer of the manifest has no sane size",
    ),
    "fractional size": (
        plain(manifest(layers=[layer(size=1.5)])),
        DataError,
        NONSENSE + "a layer of the manifest has no sane size",
    ),
    "no image for us": (
        plain(
            index(
                {
                    "mediaType": MANIFEST,
                    "digest": sha256(b""),
                    "size": 0,
                    "platform": {"os": "plan9", "architecture": "vax"},
                }
            ),
            INDEX,
        ),
        NotFound,
        "no matching manifest for linux/amd64 in the manifest list entries - it has plan9/vax",
    ),
    "empty index": (
        plain(index(), INDEX),
        NotFound,
        "no matching manifest for linux/amd64 in the manifest list entries - it has nothing that runs",
    ),
    "redirect loop": (
        status(302, Location="/v2/a/b/manifests/1"),
        DataError,
        NONSENSE + "it redirects more than 5 times",
    ),
    "redirect to a file": (
        status(302, Location="file:///etc/passwd"),
        DataError,
        NONSENSE + 'it points to "file:///etc/passwd", which is no http address',
    ),
    "redirect to plain http": (
        status(302, Location="http://169.254.169.254/latest"),
        DataError,
        NONSENSE + "it points to http://169.254.169.254, which is not encrypted",
    ),
    "redirect nowhere": (status(301), DataError, NONSENSE + 'it points to "", which is no http address'),
    "denied": (
        status(403, b'{"errors":[{"code":"DENIED","message":"access \\u001b[31mdenied\\n"}]}'),
        PermissionDenied,
        "registry answered 403 - access [31mdenied",
    ),
    "no challenge": (status(401), PermissionDenied, "registry answered 401 - X"),
    "unknown": (
        status(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'),
        NotFound,
        "registry answered 404 - manifest unknown",
    ),
    "page not found": (
        status(404, b"<html>nginx</html>", Content_Type="text/html"),
        NotFound,
        "registry answered 404 - a web page, not a registry's answer",
    ),
    "down": (
        status(503, b"over\x00loaded " + b"y" * 900),
        Unavailable,
        "registry answered 503 - over loaded " + "y" * 285 + "...",
    ),
    "slow down for long": (
        status(429, b'{"errors":[{"message":"too many requests"}]}', Retry_After="3600"),
        Unavailable,
        "registry answered 429 - too many requests",
    ),
    "teapot": (status(418, b"short and stout"), Unavailable, "registry answered 418 - short and stout"),
}


@pytest.mark.parametrize(("write", "kind", "message"), CASES.values(), ids=CASES)
def test_manifest(write: Write, kind: type[MobyError], message: str, options: RegistryOptions) -> None:
    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.path == "/v2/":
            return answer(writer)
        done = write(writer)
        return await done if done is not None else None

    async def main() -> tuple[MobyError, str]:
        async with raw(handler) as server, RegistryClient(options) as client:
            with pytest.raises(MobyError) as caught:
                await client.resolve(f"{server.address}/a/b:1", "linux/amd64")
            return caught.value, server.address

    began = time.monotonic()
    error, address = asyncio.run(main())
    assert error.message == f"cannot pull {address}/a/b:1: {message}"
    assert type(error) is kind
    assert time.monotonic() - began < 4


@pytest.mark.parametrize(
    ("write", "why"),
    [
        (text, "it is not HTTP: Bad status line"),
        (many_headers, "it is not HTTP: "),
    ],
)
def test_not_http(write: Write, why: str, options: RegistryOptions) -> None:
    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        answer(writer) if request.path == "/v2/" else write(writer)

    async def main() -> str:
        async with raw(handler) as server, RegistryClient(options) as client:
            with pytest.raises(DataError) as caught:
                await client.resolve(f"{server.address}/a/b:1")
            return caught.value.message.replace(server.address, "HOST")

    assert asyncio.run(main()).startswith(f"cannot pull HOST/a/b:1: {NONSENSE}{why}")


def test_an_index_that_names_itself_is_not_followed_for_ever(options: RegistryOptions) -> None:
    bodies: dict[str, bytes] = {}
    top = index()
    for _ in range(5):
        bodies[sha256(top)] = top
        entry = {"mediaType": INDEX, "digest": sha256(top), "size": len(top)}
        top = index(entry)

    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        answer(writer, body=bodies.get(request.path.rpartition("/")[2], top), Content_Type=INDEX)

    async def main() -> str:
        async with raw(handler) as server, RegistryClient(options) as client:
            with pytest.raises(DataError) as caught:
                await client.resolve(f"{server.address}/a/b:1")
            return caught.value.message.replace(server.address, "HOST")

    assert asyncio.run(main()) == f"cannot pull HOST/a/b:1: {NONSENSE}more than 3 indexes within each other"


def test_the_manifest_of_another_digest_is_refused(options: RegistryOptions) -> None:
    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        answer(writer, body=manifest(), Content_Type=MANIFEST)

    wanted = "sha256:" + "1" * 64

    async def main() -> str:
        async with raw(handler) as server, RegistryClient(options) as client:
            with pytest.raises(DataError) as caught:
                await client.resolve(f"{server.address}/a/b@{wanted}")
            return caught.value.message

    assert asyncio.run(main()).endswith(f"it has the digest {sha256(manifest())} instead of {wanted}")


def test_a_busy_registry_is_asked_again(options: RegistryOptions) -> None:
    calls = []

    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.path == "/v2/":
            return answer(writer)
        calls.append(time.monotonic())
        if len(calls) == 1:
            return answer(writer, 429, Retry_After="1")
        return answer(writer, body=manifest(), Content_Type=MANIFEST)

    async def main() -> str:
        async with raw(handler) as server, RegistryClient(options) as client:
            return (await client.resolve(f"{server.address}/a/b:1")).digest

    assert asyncio.run(main()) == sha256(manifest())
    assert calls[1] - calls[0] >= 1.0, "Retry-After was not heard"


def test_nobody_listens(options: RegistryOptions) -> None:
    async def main() -> str:
        async with raw(lambda request, writer: asyncio.sleep(0)) as server:
            address = server.address
        async with RegistryClient(options) as client:
            with pytest.raises(Unavailable) as caught:
                await client.resolve(f"{address}/a/b:1")
            return caught.value.message.replace(address, "HOST")

    assert (
        asyncio.run(main()) == "cannot pull HOST/a/b:1: registry cannot be reached - HOST: connection refused"
    )
