"""Pulling from a real registry: names, platforms, authentication, TLS; what arrives is what was pushed."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from moby_components.image_store.overlay.registry_client import RegistryClient, RegistryOptions
from moby_py.errors import InvalidArgument, MobyError, NotFound, PermissionDenied, Unavailable
from moby_py.model import RegistryAuth
from support.images import PLATFORMS, Layout, nasty, platforms
from support.registry import PASSWORD, USERNAME, Registry, registry

T = TypeVar("T")
GOOD = RegistryAuth(username=USERNAME, password=PASSWORD)


def use(options: RegistryOptions, work: Callable[[RegistryClient], Awaitable[T]]) -> T:
    async def main() -> T:
        async with RegistryClient(options) as client:
            return await work(client)

    return asyncio.run(main())


def refused(options: RegistryOptions, reference: str, auth: RegistryAuth | None = None) -> MobyError:
    with pytest.raises(MobyError) as caught:
        use(options, lambda client: client.resolve(reference, auth=auth))
    return caught.value


@pytest.mark.parametrize("how", ["gzip", "zstd"])
def test_every_byte_arrives(how: str, shared_hub: Registry, options: RegistryOptions, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "oci")
    pushed = nasty(layout, "nasty", how)
    reference = shared_hub.push(layout.path, f"pull/nasty:{how}", tag="nasty")

    async def work(client: RegistryClient) -> None:
        found = await client.resolve(reference)
        assert found.digest == found.manifest_digest == pushed["digest"]
        assert found.index is None
        assert json.loads(found.manifest) == layout.json(pushed["digest"])
        assert str(found.reference) == reference
        config = await client.fetch_bytes(reference, found.config)
        assert config == layout.blob_path(found.config.digest).read_bytes()
        seen: list[tuple[int, int]] = []
        (tmp_path / "got").mkdir()

        async def one(number: int) -> None:
            path = tmp_path / f"got/{number}"
            await client.fetch_blob(reference, found.layers[number], path, lambda *at: seen.append(at))
            assert path.read_bytes() == layout.blob_path(found.layers[number].digest).read_bytes()

        await asyncio.gather(*map(one, range(len(found.layers))))
        sizes = {layer.size for layer in found.layers}
        assert {at for at, total in seen if at == total} == sizes
        assert sorted(p.name for p in (tmp_path / "got").iterdir()) == ["0", "1", "2"]
        by_digest = await client.resolve(f"{shared_hub.address}/pull/nasty@{pushed['digest']}")
        assert by_digest.manifest == found.manifest
        head = await client.head_manifest(reference)
        assert (head.digest, head.size) == (pushed["digest"], len(found.manifest))

    use(options, work)


def test_platforms(shared_hub: Registry, options: RegistryOptions, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "oci")
    index = platforms(layout)
    reference = shared_hub.push(layout.path, "pull/many:1", tag="many", every=True)

    async def work(client: RegistryClient) -> None:
        for wanted in ("/".join(filter(None, p)) for p in PLATFORMS):
            found = await client.resolve(reference, wanted)
            config = json.loads(await client.fetch_bytes(reference, found.config))
            assert (config["os"], config["architecture"]) == tuple(wanted.split("/")[:2])
            assert found.digest == index["digest"]
            assert found.index == layout.blob_path(index["digest"]).read_bytes()
            assert found.manifest_digest != found.digest
        assert (await client.resolve(reference, "linux/arm/v8")).platform == "linux/arm/v7"
        with pytest.raises(NotFound) as caught:
            await client.resolve(reference, "linux/riscv64")
        assert caught.value.message == (
            f"cannot pull {reference}: no matching manifest for linux/riscv64 in the manifest list entries - "
            "it has linux/amd64, linux/arm/v6, linux/arm/v7, linux/arm64, linux/s390x, windows/amd64"
        )
        assert caught.value.hint == "choose one with --platform"

    use(options, work)


def test_dockers_media_types(
    shared_hub: Registry, options: RegistryOptions, busybox_layout: Layout, tmp_path: Path
) -> None:
    reference = shared_hub.push(busybox_layout.path, "pull/docker:1", tag="busybox", form="v2s2")

    async def work(client: RegistryClient) -> None:
        found = await client.resolve(reference)
        assert found.manifest_media_type == "application/vnd.docker.distribution.manifest.v2+json"
        await client.fetch_blob(reference, found.layers[0], tmp_path / "blob")

    use(options, work)


def test_tags_and_what_is_not_there(
    shared_hub: Registry, options: RegistryOptions, busybox_layout: Layout
) -> None:
    for tag in ("b", "a", "c"):
        reference = shared_hub.push(busybox_layout.path, f"pull/tags:{tag}", tag="busybox")
    assert sorted(use(options, lambda client: client.tags(reference))) == ["a", "b", "c"]
    error = refused(options, f"{shared_hub.address}/pull/tags:none")
    assert type(error) is NotFound
    assert error.message == (
        f"cannot pull {shared_hub.address}/pull/tags:none: registry answered 404 - manifest unknown"
    )
    assert error.hint == "check the name and the tag"
    with pytest.raises(NotFound) as caught:
        use(options, lambda client: client.tags(f"{shared_hub.address}/pull/nobody"))
    assert caught.value.message == (
        f"cannot list the tags of {shared_hub.address}/pull/nobody:latest: "
        "registry answered 404 - repository name not known to registry"
    )
    with pytest.raises(NotFound) as caught:
        use(options, lambda client: client.head_manifest(f"{shared_hub.address}/pull/tags:none"))
    with pytest.raises(InvalidArgument):
        use(options, lambda client: client.resolve("Not A Name"))


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("auth", ["basic", "token"])
def test_authentication(
    auth: str, tls: bool, options: RegistryOptions, busybox_layout: Layout, tmp_path: Path
) -> None:
    options = replace(options, answer_timeout=10)
    with registry(auth=auth, tls=tls) as hub:  # type: ignore[arg-type]
        if hub.ca:
            folder = options.certificates[0] / hub.address
            folder.mkdir(parents=True)
            (folder / "ca.crt").write_bytes(hub.ca.read_bytes())
        reference = hub.push(busybox_layout.path, "private/app:1", tag="busybox")

        async def work(client: RegistryClient) -> None:
            found = await client.resolve(reference, auth=GOOD)
            paths = [tmp_path / f"blob{n}" for n in range(3)]
            await asyncio.gather(
                *(client.fetch_blob(reference, found.layers[0], path, auth=GOOD) for path in paths)
            )
            await client.ping(hub.address, GOOD)

        before = len(hub.tokens.asked) if hub.tokens else 0
        use(options, work)
        if hub.tokens:
            assert len(hub.tokens.asked) - before == 2, "one token for the repository, one for the ping"
            asked = hub.tokens.asked[before]
            assert asked["scope"] == ["repository:private/app:pull"]
            assert asked["service"] == ["test-registry"]

        error = refused(options, reference)
        assert type(error) is PermissionDenied
        assert error.message == (f"cannot pull {reference}: registry answered 401 - authentication required")
        assert error.hint == f"docker login {hub.address}; or the repository does not exist"
        error = refused(options, reference, replace(GOOD, password="wr0ng"))
        assert type(error) is PermissionDenied
        why = "incorrect username or password" if auth == "token" else "authentication required"
        assert error.message == f"cannot pull {reference}: registry answered 401 - {why}"
        assert "wr0ng" not in repr(error)
        with pytest.raises(PermissionDenied) as caught:
            use(options, lambda client: client.ping(hub.address, replace(GOOD, password="x")))
        assert caught.value.message == f"cannot log in to {hub.address}: registry answered 401 - {why}"


def test_anonymous_identity_and_old_tokens(
    options: RegistryOptions, busybox_layout: Layout, tmp_path: Path
) -> None:
    options = replace(options, answer_timeout=10)
    with registry(auth="token") as hub:
        assert hub.tokens
        reference = hub.push(busybox_layout.path, "public/app:1", tag="busybox")
        private = hub.push(busybox_layout.path, "private/app:1", tag="busybox")
        use(options, lambda client: client.resolve(reference))
        assert hub.tokens.asked[-1]["user"] == "", "a public image needs nobody"

        hub.tokens.refresh_tokens.add("identity")
        hub.tokens.omit_token_key = True
        auth = RegistryAuth(identity_token="identity")
        use(options, lambda client: client.resolve(private, auth=auth))
        assert hub.tokens.asked[-1] == {
            "method": "POST",
            "scope": ["repository:private/app:pull"],
            "grant_type": "refresh_token",
        }
        error = refused(options, private, RegistryAuth(identity_token="revoked"))
        assert error.message == f"cannot pull {private}: registry answered 401 - refresh token is not valid"

        bearer = hub.tokens.token("me", ["repository:private/app:pull"])
        before = len(hub.tokens.asked)
        use(options, lambda client: client.resolve(private, auth=RegistryAuth(registry_token=bearer)))
        assert len(hub.tokens.asked) == before, "a registry token is used as it is"

        hub.tokens.lifetime = -100  # expired when they arrive, beyond the allowed clock skew

        async def work(client: RegistryClient) -> None:
            with pytest.raises(PermissionDenied):
                await client.resolve(private, auth=GOOD)
            hub.tokens.lifetime = 300  # type: ignore[union-attr]
            await client.resolve(private, auth=GOOD)

        use(options, work)


def test_certificates(options: RegistryOptions, busybox_layout: Layout) -> None:
    with registry(tls=True, client_certificates=True) as hub:
        assert hub.ca
        assert hub.client_cert
        assert hub.client_key
        reference = f"{hub.address}/a/app:1"
        folder = options.certificates[0] / hub.address
        error = refused(options, reference)
        assert type(error) is Unavailable
        assert error.message == (
            f"cannot pull {reference}: registry cannot be reached - "
            f"the certificate of {hub.address} is not trusted: unable to get local issuer certificate"
        )
        assert error.hint == f"put its CA into {folder}/ca.crt"
        folder.mkdir(parents=True)
        (folder / "ca.crt").write_bytes(hub.ca.read_bytes())
        error = refused(options, reference)
        assert re.fullmatch(
            f"cannot pull {reference}: registry cannot be reached - TLS was refused: "
            "(tlsv13 alert certificate required|sslv3 alert bad certificate)",
            error.message,
        )
        assert error.hint == "does it ask for a client certificate? .cert and .key go where its CA goes"
        (folder / "me.cert").write_bytes(hub.client_cert.read_bytes())
        error = refused(options, reference)
        assert error.message == (f"cannot use {folder}/me.cert for {hub.address} - no such file or directory")
        assert error.hint == "a .cert needs its .key beside it, both PEM and readable"
        (folder / "me.key").write_bytes(hub.client_key.read_bytes())
        hub.push(busybox_layout.path, "a/app:1", tag="busybox")
        use(options, lambda client: client.resolve(reference))
        (folder / "ca.crt").unlink()
        use(replace(options, insecure=("127.0.0.0/8",)), lambda client: client.resolve(reference))


def test_mirrors(
    shared_hub: Registry, options: RegistryOptions, busybox_layout: Layout, tmp_path: Path
) -> None:
    shared_hub.push(busybox_layout.path, "library/mirrored:1", tag="busybox")
    mirrors = {"registry.invalid": ("http://127.0.0.1:1", f"{shared_hub.url}/")}
    options = replace(options, mirrors=mirrors)

    async def work(client: RegistryClient) -> None:
        found = await client.resolve("registry.invalid/library/mirrored:1")
        assert str(found.reference) == "registry.invalid/library/mirrored:1"
        await client.fetch_blob(found.reference, found.layers[0], tmp_path / "blob")

    use(options, work)
    error = refused(options, "registry.invalid/library/missing:1")
    assert error.message == (
        "cannot pull registry.invalid/library/missing:1: registry cannot be reached - "
        "registry.invalid is not a known name"
    ), "the registry's own answer counts"
    error = refused(replace(options, mirrors={"x.io": ("http://mirror.example",)}), "x.io/a/b")
    assert error.message == (
        "mirror http://mirror.example of x.io cannot be used - plain HTTP is for loopback and insecure ones"
    )
