"""Blobs from a registry that lies, stalls or breaks: nothing wrong is kept, what breaks is continued."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from moby_components.image_store.overlay.registry_client import Descriptor, RegistryClient, RegistryOptions
from moby_py.errors import DataError, MobyError, Unavailable, Unsupported
from support.raw_http import LAYER, Handler, Raw, Request, answer, raw, sha256

DATA = os.urandom(3 << 20)
BLOB = Descriptor(media_type=LAYER, digest=sha256(DATA), size=len(DATA))
OTHER = sha256(b"other")


def download(
    handler: Handler, options: RegistryOptions, path: Path, blob: Descriptor = BLOB, *, keep: bool = False
) -> tuple[MobyError | None, Raw]:
    """Fetch `blob` from `handler`'s server; its address is HOST in the error's text."""

    async def routed(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.path == "/v2/":
            answer(writer)
        else:
            await handler(request, writer)

    async def main() -> tuple[MobyError | None, Raw]:
        async with raw(routed) as server, RegistryClient(options) as client:
            try:
                await client.fetch_blob(f"{server.address}/a/b:1", blob, path, keep_partial=keep)
            except MobyError as error:
                error.message = error.message.replace(server.address, "HOST")
                return error, server
            return None, server

    return asyncio.run(main())


def test_wrong_digest(options: RegistryOptions, tmp_path: Path) -> None:
    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        answer(writer, body=b"X" + DATA[1:])

    error, server = download(handler, options, tmp_path / "blob")
    assert type(error) is DataError
    assert error.message == (
        f"cannot pull HOST/a/b:1: blob {BLOB.digest} is damaged - it has the digest {sha256(b'X' + DATA[1:])}"
    )
    assert error.hint == "nothing was kept; try again, and distrust the registry when it stays so"
    assert list(tmp_path.iterdir()) == []
    assert len(server.of("/blobs/")) == 1, "wrong bytes are not asked for again"


@pytest.mark.parametrize("announced", [len(DATA) - 1, len(DATA) + 1, 0])
def test_wrong_content_length(announced: int, options: RegistryOptions, tmp_path: Path) -> None:
    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        answer(writer, body=DATA if announced else b"", length=announced)

    error, _ = download(handler, options, tmp_path / "blob")
    assert error
    assert error.message == (
        f"cannot pull HOST/a/b:1: blob {BLOB.digest} is damaged - "
        f"the registry announces {announced} bytes, the manifest {len(DATA)}"
    )
    assert list(tmp_path.iterdir()) == []


def test_more_than_the_manifest_says(options: RegistryOptions, tmp_path: Path) -> None:
    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        answer(writer, length=None)
        for _ in range(200):
            writer.write(DATA)
            await writer.drain()

    error, _ = download(handler, options, tmp_path / "blob")
    assert error
    assert error.message == (
        f"cannot pull HOST/a/b:1: blob {BLOB.digest} is damaged - "
        f"more than the {len(DATA)} bytes of the manifest came"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("honest", [True, False], ids=["announced", "unannounced"])
def test_truncated(honest: bool, options: RegistryOptions, tmp_path: Path) -> None:
    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        answer(writer, body=DATA[:1000], length=len(DATA) if honest else None)
        await writer.drain()
        await asyncio.sleep(0.1)  # else the break overtakes the bytes, which are then asked for again

    error, server = download(handler, options, tmp_path / "blob")
    assert type(error) is DataError
    assert error.message == (
        f"cannot pull HOST/a/b:1: blob {BLOB.digest} is damaged - it ended after 1000 of {len(DATA)} bytes"
    )
    assert list(tmp_path.iterdir()) == []
    assert [r.headers.get("range") for r in server.of("/blobs/")] == [None, "bytes=1000-"]


def test_a_break_is_continued(options: RegistryOptions, tmp_path: Path) -> None:
    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        if "range" not in request.headers:
            return answer(writer, body=DATA[:1_234_567], length=len(DATA))
        start = int(request.headers["range"].removeprefix("bytes=").rstrip("-"))
        said = f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"
        end = min(start + 100_000, len(DATA)) if start < 1_400_000 else len(DATA)
        return answer(writer, 206, DATA[start:end], length=len(DATA) - start, Content_Range=said)

    error, server = download(handler, replace(options, retries=3), tmp_path / "blob")
    assert error is None
    assert (tmp_path / "blob").read_bytes() == DATA
    assert (tmp_path / "blob").stat().st_mode & 0o777 == 0o600
    assert len(server.of("/blobs/")) == 4


@pytest.mark.parametrize("reply", ["200", "416", "other range"])
def test_a_registry_that_cannot_continue(reply: str, options: RegistryOptions, tmp_path: Path) -> None:
    (tmp_path / "blob.partial").write_bytes(DATA[:5000])

    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        if "range" in request.headers and reply == "416":
            answer(writer, 416)
        elif "range" in request.headers and reply == "other range":
            answer(writer, 206, DATA[:9], Content_Range=f"bytes 0-8/{len(DATA)}")
        else:
            answer(writer, body=DATA)

    error, server = download(handler, options, tmp_path / "blob")
    assert error is None
    assert (tmp_path / "blob").read_bytes() == DATA
    assert server.of("/blobs/")[0].headers["range"] == "bytes=5000-"


def test_a_wrong_partial_file_is_started_over(options: RegistryOptions, tmp_path: Path) -> None:
    (tmp_path / "blob.partial").write_bytes(b"garbage")

    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        if "range" in request.headers:
            said = f"bytes 7-{len(DATA) - 1}/{len(DATA)}"
            answer(writer, 206, DATA[7:], Content_Range=said)
        else:
            answer(writer, body=DATA)

    error, server = download(handler, options, tmp_path / "blob")
    assert error is None
    assert (tmp_path / "blob").read_bytes() == DATA
    assert len(server.of("/blobs/")) == 2


def test_a_whole_partial_file_needs_no_download(options: RegistryOptions, tmp_path: Path) -> None:
    (tmp_path / "blob.partial").write_bytes(DATA)

    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        answer(writer, 500)

    error, server = download(handler, options, tmp_path / "blob")
    assert error is None
    assert server.of("/blobs/") == []


def test_a_link_in_place_of_the_partial_file(options: RegistryOptions, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "blob.partial").symlink_to(victim)

    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        answer(writer, body=DATA)

    error, _ = download(handler, options, tmp_path / "blob")
    assert error
    assert error.message == (
        f"cannot pull HOST/a/b:1: cannot write {tmp_path}/blob.partial - too many levels of symbolic links"
    )
    (tmp_path / "blob.partial").unlink()
    os.link(victim, tmp_path / "blob.partial")
    error, _ = download(handler, options, tmp_path / "blob")
    assert error is None, "a hard link is replaced, not written through"
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("keep", [False, True])
def test_a_stall_is_given_up(keep: bool, options: RegistryOptions, tmp_path: Path) -> None:
    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        if "range" in request.headers:
            said = f"bytes 4096-{len(DATA) - 1}/{len(DATA)}"
            answer(writer, 206, length=len(DATA) - 4096, Content_Range=said)
        else:
            answer(writer, body=DATA[:4096], length=len(DATA))
        await writer.drain()
        await asyncio.sleep(60)

    began = time.monotonic()
    error, _ = download(handler, options, tmp_path / "blob", keep=keep)
    assert time.monotonic() - began < 4
    assert type(error) is Unavailable
    assert error.message == (
        "cannot pull HOST/a/b:1: registry does not answer - "
        f"blob {BLOB.digest} stalled at 4096 of {len(DATA)} bytes"
    )
    assert [p.name for p in tmp_path.iterdir()] == (["blob.partial"] if keep else [])


def test_a_trickle_is_a_stall(options: RegistryOptions, tmp_path: Path) -> None:
    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        answer(writer, length=len(DATA))
        for byte in DATA[:1000]:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.05)

    began = time.monotonic()
    error, _ = download(handler, replace(options, retries=0), tmp_path / "blob")
    assert time.monotonic() - began < 3
    assert type(error) is Unavailable
    assert list(tmp_path.iterdir()) == []


def test_slow_but_steady_is_fine(options: RegistryOptions, tmp_path: Path) -> None:
    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        answer(writer, length=len(DATA))
        for start in range(0, len(DATA), 1 << 18):
            writer.write(DATA[start : start + (1 << 18)])
            await writer.drain()
            await asyncio.sleep(0.1)

    error, _ = download(handler, options, tmp_path / "blob")
    assert error is None, "it takes longer than the stall limit, and never stalls"


def test_foreign_layers_and_empty_blobs(options: RegistryOptions, tmp_path: Path) -> None:
    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        answer(writer)

    foreign = replace(BLOB, media_type="application/vnd.oci.image.layer.nondistributable.v1.tar+gzip")
    error, server = download(handler, options, tmp_path / "blob", foreign)
    assert type(error) is Unsupported
    assert server.requests == []
    empty = Descriptor(media_type=LAYER, digest=sha256(b""), size=0)
    assert download(handler, options, tmp_path / "empty", empty)[0] is None
    assert (tmp_path / "empty").read_bytes() == b""


def test_sha512(options: RegistryOptions, tmp_path: Path) -> None:
    import hashlib

    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        answer(writer, body=DATA)

    blob = replace(BLOB, digest="sha512:" + hashlib.sha512(DATA).hexdigest())
    assert download(handler, options, tmp_path / "blob", blob)[0] is None


def test_a_full_disk_is_named(options: RegistryOptions) -> None:
    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        answer(writer, body=DATA)

    error, _ = download(handler, options, Path("/nonexistent/blob"))
    assert type(error) is Unavailable
    assert error.message == (
        "cannot pull HOST/a/b:1: cannot write /nonexistent/blob.partial - no such file or directory"
    )


def test_cancelling_leaves_nothing(options: RegistryOptions, tmp_path: Path) -> None:
    reached = asyncio.Event()

    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        answer(writer, body=DATA[: 2 << 20] if "/blobs/" in request.path else b"", length=len(DATA))
        await writer.drain()
        reached.set()
        await asyncio.sleep(60)

    async def main() -> None:
        async with raw(handler) as server, RegistryClient(replace(options, stall=30)) as client:
            task = asyncio.create_task(client.fetch_blob(f"{server.address}/a/b:1", BLOB, tmp_path / "blob"))
            await reached.wait()
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert list(tmp_path.iterdir()) == []


def test_a_redirect_gets_no_credentials(options: RegistryOptions, tmp_path: Path) -> None:
    """Blobs often live at another host: it must not see who we are."""
    from moby_py.model import RegistryAuth

    async def storage(request: Request, writer: asyncio.StreamWriter) -> None:
        answer(writer, body=DATA)

    async def main() -> tuple[Raw, Raw]:
        async with raw(storage) as other:

            async def registry(request: Request, writer: asyncio.StreamWriter) -> None:
                if "authorization" not in request.headers:
                    answer(writer, 401, WWW_Authenticate='Basic realm="x"')
                else:
                    answer(writer, 307, Location=f"http://{other.address}/elsewhere?sig=a%2Fb")

            async with raw(registry) as first, RegistryClient(options) as client:
                auth = RegistryAuth(username="u", password="p")
                await client.fetch_blob(f"{first.address}/a/b:1", BLOB, tmp_path / "blob", auth=auth)
                return first, other

    first, other = asyncio.run(main())
    assert first.requests[-1].headers["authorization"] == "Basic dTpw"
    assert [r.path for r in other.requests] == ["/elsewhere?sig=a%2Fb"]
    assert "authorization" not in other.requests[0].headers


def test_a_small_blob(options: RegistryOptions) -> None:
    async def fetch(served: bytes, blob: Descriptor) -> bytes:
        async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
            answer(writer, body=served)

        async with raw(handler) as server, RegistryClient(options) as client:
            return await client.fetch_bytes(f"{server.address}/a/b:1", blob)

    blob = Descriptor(media_type="x", digest=sha256(b"{}"), size=2)
    assert asyncio.run(fetch(b"{}", blob)) == b"{}"
    for served, why in {
        b"[]": f"it has the digest {sha256(b'[]')}",
        b"{": "1 instead of 2 bytes came",
        b"{}}": "more instead of 2 bytes came",
    }.items():
        with pytest.raises(DataError) as caught:
            asyncio.run(fetch(served, blob))
        assert caught.value.message.endswith(f"blob {blob.digest} is damaged - {why}")
    with pytest.raises(DataError, match=r"should be small and has 9999999 bytes$"):
        asyncio.run(fetch(b"{}", replace(blob, size=9_999_999)))
