"""Pushing to a real registry, read back by skopeo; and to one that breaks."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from moby_components.image_store.overlay.registry_client import RegistryClient, RegistryOptions
from moby_py.errors import DataError, InvalidArgument, MobyError, PermissionDenied, Unavailable
from moby_py.model import RegistryAuth
from support.images import INDEX, MANIFEST, Layout, busybox, nasty
from support.raw_http import Request, answer, raw, sha256
from support.registry import PASSWORD, USERNAME, Registry, registry

GOOD = RegistryAuth(username=USERNAME, password=PASSWORD)


async def push_image(
    client: RegistryClient, layout: Layout, digest: str, reference: str, auth: RegistryAuth | None = None
) -> str:
    """Blobs first, then the manifest: what the store does."""
    manifest = layout.json(digest)
    for blob in (manifest["config"], *manifest["layers"]):
        path = layout.blob_path(blob["digest"])
        await client.push_blob(reference, blob["digest"], path, blob["size"], auth=auth)
    return await client.push_manifest(reference, MANIFEST, layout.blob_path(digest).read_bytes(), auth)


@pytest.mark.parametrize(
    ("auth", "chunk"), [("", 256 << 20), ("", 300_000), ("basic", 256 << 20), ("token", 300_000)]
)
def test_skopeo_reads_it_back(auth: str, chunk: int, options: RegistryOptions, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "oci")
    images = {"busybox": busybox(layout)["digest"]}
    if not auth:
        images["nasty"] = nasty(layout, how="zstd")["digest"]
    options = replace(options, chunk=chunk, answer_timeout=10, stall=10)
    with registry(auth=auth) as hub:  # type: ignore[arg-type]

        async def work() -> None:
            async with RegistryClient(options) as client:
                for name, digest in images.items():
                    reference = f"{hub.address}/push/{name}:1"
                    assert (
                        await push_image(client, layout, digest, reference, GOOD if auth else None) == digest
                    )

        asyncio.run(work())
        for name, digest in images.items():
            assert hub.inspect(f"push/{name}:1")["Digest"] == digest
            hub.fetch(f"push/{name}:1", tmp_path / f"back-{name}")
            back = Layout(tmp_path / f"back-{name}")
            for layer in layout.json(digest)["layers"]:
                assert (
                    back.blob_path(layer["digest"]).read_bytes()
                    == layout.blob_path(layer["digest"]).read_bytes()
                )
        patches = [line for line in hub.log if '"PATCH ' in line]
        assert len(patches) == (4 if chunk == 300_000 else 0), "1.1 MB in pieces of 0.3 MB"


def test_what_is_there_is_not_sent(shared_hub: Registry, options: RegistryOptions, tmp_path: Path) -> None:
    data = os.urandom(700_000)
    path, digest = tmp_path / "blob", sha256(data)
    path.write_bytes(data)
    seen: list[tuple[int, int]] = []

    async def work() -> list[str]:
        async with RegistryClient(options) as client:
            a, b, c = (f"{shared_hub.address}/{name}/app:1" for name in ("one", "two", "three"))
            assert not await client.blob_exists(a, digest)
            first = await client.push_blob(a, digest, path, len(data), lambda *at: seen.append(at))
            assert await client.blob_exists(a, digest)
            again = await client.push_blob(a, digest, path, len(data))
            mounted = await client.push_blob(b, digest, path, len(data), mount_from="one/app")
            assert await client.blob_exists(b, digest)
            unknown = await client.push_blob(c, digest, path, len(data), mount_from="nobody/here")
            return [first, again, mounted, unknown]

    assert asyncio.run(work()) == ["pushed", "exists", "mounted", "pushed"]
    assert seen[-1] == (len(data), len(data))
    assert [at for at, _ in seen] == sorted({at for at, _ in seen}), "it only grows, and ends once"


def test_an_index_and_a_digest(shared_hub: Registry, options: RegistryOptions, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "oci")
    image = busybox(layout)
    index = layout.index([{**image, "platform": {"os": "linux", "architecture": "amd64"}}])
    data = layout.blob_path(index["digest"]).read_bytes()
    base = f"{shared_hub.address}/push/index"

    async def work() -> None:
        async with RegistryClient(options) as client:
            await push_image(client, layout, image["digest"], f"{base}@{image['digest']}")
            assert await client.push_manifest(f"{base}:1", INDEX, data) == index["digest"]
            assert (await client.resolve(f"{base}:1", "linux/amd64")).manifest_digest == image["digest"]
            with pytest.raises(DataError) as caught:
                await client.push_manifest(f"{base}@{image['digest']}", INDEX, data)
            assert caught.value.message == (
                f"cannot push {base}@{image['digest']}: "
                f"the manifest has the digest {index['digest']} instead of {image['digest']}"
            )

    asyncio.run(work())


def test_refusals(options: RegistryOptions, tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(b"data")
    good, other = sha256(b"data"), sha256(b"other")

    async def failing(reference: str, digest: str, auth: RegistryAuth | None = None) -> MobyError:
        async with RegistryClient(replace(options, answer_timeout=10)) as client:
            with pytest.raises(MobyError) as caught:
                await client.push_blob(reference, digest, path, 4, auth=auth)
            return caught.value

    with registry(auth="token") as hub:
        reference = f"{hub.address}/a/b:1"
        error = asyncio.run(failing(reference, good))
        assert type(error) is PermissionDenied
        assert error.message == f"cannot push {reference}: registry answered 401 - Unauthorized"
        error = asyncio.run(failing(reference, other, auth=GOOD))
        assert type(error) is DataError
        assert error.message == (
            f"cannot push {reference}: blob {other} is damaged in the store - "
            f"4 bytes with the digest {good} instead of 4"
        )
        path.unlink()
        error = asyncio.run(failing(reference, good, auth=GOOD))
        assert error.message == f"cannot push {reference}: cannot read {path} - no such file or directory"

        async def manifest() -> MobyError:
            async with RegistryClient(replace(options, answer_timeout=10)) as client:
                with pytest.raises(InvalidArgument) as caught:
                    body = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": []}
                    body["config"] = {"mediaType": "x", "digest": other, "size": 5}
                    await client.push_manifest(reference, MANIFEST, json.dumps(body).encode(), GOOD)
                return caught.value

        assert asyncio.run(manifest()).message == (
            f"cannot push {reference}: registry answered 400 - blob unknown to registry"
        )


DATA = os.urandom(900_000)


class Uploads:
    """A registry whose uploads break as `faults` say: one status or "stall" per PATCH or PUT, then fine."""

    def __init__(self, *faults: int | str) -> None:
        self.faults = list(faults)
        self.got = bytearray()
        self.stored = ""

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if request.method in ("PATCH", "PUT") and self.faults:
            fault = self.faults.pop(0)
            if fault == "stall":
                await asyncio.sleep(60)
            elif fault == "half":
                self.got += request.body[: len(request.body) // 2]
                return None
            elif isinstance(fault, int):
                return answer(writer, fault)
        if request.method == "HEAD":
            return answer(writer, 404)
        if request.method == "POST":
            self.got.clear()
            return answer(writer, 202, Location="/upload?state=a%3D%3D")
        if request.method == "PATCH":
            assert request.headers["content-range"].startswith(f"{len(self.got)}-")
            self.got += request.body
            return answer(writer, 202, Location="/upload?state=b%3D%3D")
        if request.method == "GET" and request.path.startswith("/upload"):
            said = f"0-{max(len(self.got) - 1, 0)}"
            return answer(writer, 204, Location="/upload?state=c%3D%3D", Range=said)
        if request.method == "PUT":
            self.got += request.body
            self.stored = request.path
            return answer(writer, 201)
        return answer(writer)

    def push(self, options: RegistryOptions, path: Path) -> str:
        path.write_bytes(DATA)

        async def work() -> str:
            async with raw(self) as server, RegistryClient(options) as client:
                try:
                    return await client.push_blob(f"{server.address}/a/b:1", sha256(DATA), path, len(DATA))
                except MobyError as error:
                    error.message = error.message.replace(server.address, "HOST")
                    raise

        return asyncio.run(work())


@pytest.mark.parametrize("chunk", [1 << 20, 200_000], ids=["whole", "chunks"])
@pytest.mark.parametrize("fault", [503, "stall", "half"])
def test_a_break_is_survived(chunk: int, fault: int | str, options: RegistryOptions, tmp_path: Path) -> None:
    uploads = Uploads(fault)
    assert uploads.push(replace(options, chunk=chunk, finish_timeout=1), tmp_path / "blob") == "pushed"
    assert hashlib.sha256(uploads.got).hexdigest() == sha256(DATA).removeprefix("sha256:")
    assert uploads.stored.startswith("/upload?state=")
    assert "%3D%3D&digest=sha256:" in uploads.stored, "the registry's own query is left as it was"


def test_an_upload_that_always_stalls(options: RegistryOptions, tmp_path: Path) -> None:
    uploads = Uploads("stall", "stall")
    with pytest.raises(Unavailable) as caught:
        uploads.push(replace(options, finish_timeout=0.3), tmp_path / "blob")
    assert caught.value.message == ("cannot push HOST/a/b:1: registry does not answer - the upload stalled")


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("", "an upload without a Location"),
        ("http://evil.example/x", "it points to http://evil.example, which is not encrypted"),
        ("gopher://x", 'it points to "gopher://x", which is no http address'),
    ],
)
def test_where_an_upload_may_go(location: str, why: str, options: RegistryOptions, tmp_path: Path) -> None:
    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        answer(writer, {"HEAD": 404, "POST": 202}.get(request.method, 200), Location=location)

    (tmp_path / "blob").write_bytes(b"x")

    async def work() -> str:
        async with raw(handler) as server, RegistryClient(options) as client:
            with pytest.raises(DataError) as caught:
                await client.push_blob(f"{server.address}/a/b:1", sha256(b"x"), tmp_path / "blob", 1)
            return caught.value.message.replace(server.address, "HOST")

    assert asyncio.run(work()) == f"cannot push HOST/a/b:1: registry answered nonsense - {why}"
