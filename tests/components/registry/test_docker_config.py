"""Docker's config.json and its credential helpers: real programs on a PATH of the test's own."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from moby_components.image_store.overlay.registry_client import RegistryClient, RegistryOptions
from moby_components.image_store.overlay.registry_client.docker_config import config_path, credentials
from moby_py.errors import InvalidArgument, MobyError, Unavailable
from moby_py.model import RegistryAuth
from support.images import Layout
from support.registry import PASSWORD, USERNAME, registry

REPAIR = "repair the helper, or take credsStore/credHelpers out of Docker's config.json"


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def ask(folder: Path, domain: str, config: dict[str, Any] | str, timeout: float = 5) -> RegistryAuth | None:
    path = folder / "config.json"
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return asyncio.run(credentials(path, domain, timeout=timeout))


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """helper(NAME, SCRIPT) puts docker-credential-NAME on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def make(name: str, script: str) -> None:
        path = folder / f"docker-credential-{name}"
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    return make


@pytest.mark.parametrize(
    ("domain", "key"),
    [
        ("docker.io", "https://index.docker.io/v1/"),
        ("docker.io", "docker.io"),
        ("reg.example:5000", "reg.example:5000"),
        ("reg.example", "https://reg.example/v2/"),
    ],
)
def test_auths(domain: str, key: str, tmp_path: Path) -> None:
    found = ask(tmp_path, domain, {"auths": {"other": {"auth": b64("x:y")}, key: {"auth": b64("me:a:b")}}})
    assert found == RegistryAuth(username="me", password="a:b", server=key)
    assert ask(tmp_path, "reg.example:5001", {"auths": {key: {"auth": b64("me:x")}}}) is None


def test_other_forms(tmp_path: Path) -> None:
    entry = {"auth": b64("me:"), "identitytoken": "idtok"}
    found = ask(tmp_path, "r.io", {"auths": {"r.io": entry}})
    assert found
    assert found.identity_token == "idtok"
    assert ask(tmp_path, "r.io", {"auths": {"r.io": {}}}) is None, "docker logout leaves such an entry"
    assert ask(tmp_path, "r.io", {}) is None
    assert ask(tmp_path, "r.io", {"auths": [], "credHelpers": 5, "credsStore": None}) is None
    assert asyncio.run(credentials(tmp_path / "none/config.json", "r.io", timeout=1)) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "it is not JSON"),
        ("[]", "it is not a JSON object of at most 1 MiB"),
        (" " * (1 << 20) + "{}", "it is not a JSON object of at most 1 MiB"),
        ('{"auths":{"r.io":{"auth":"???"}}}', "auths.r.io.auth is not base64 of USER:PASSWORD"),
    ],
)
def test_broken_file(text: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument) as caught:
        ask(tmp_path, "r.io", text)
    assert caught.value.message == f"cannot use {tmp_path}/config.json - {why}"


def test_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert config_path(None) == tmp_path / "config.json"
    assert config_path(Path("/x")) == Path("/x")
    monkeypatch.delenv("DOCKER_CONFIG")
    monkeypatch.setenv("HOME", "/home/me")
    assert config_path(None) == Path("/home/me/.docker/config.json")


def test_helpers(helper: Any, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    helper("mine", f'echo "$@" > {seen}; cat >> {seen}; echo \'{{"Username":"me","Secret":"s3cret"}}\'')
    helper("token", 'cat >/dev/null; echo \'{"Username":"<token>","Secret":"idtok"}\'')
    helper("nothing", "cat >/dev/null; echo 'credentials not found in native keychain'; exit 1")
    config = {
        "credsStore": "nothing",
        "credHelpers": {"r.io": "mine", "t.io": "token"},
        "auths": {"a.io": {"auth": b64("stored:pw")}},
    }
    found = ask(tmp_path, "r.io", config)
    assert found
    assert (found.username, found.password) == ("me", "s3cret")
    assert "s3cret" not in repr(found)
    assert seen.read_text().split() == ["get", "r.io"], "the server comes on stdin, not as an argument"
    assert (ask(tmp_path, "t.io", config) or RegistryAuth()).identity_token == "idtok"
    assert (ask(tmp_path, "a.io", config) or RegistryAuth()).username == "stored"
    ask(tmp_path, "docker.io", {"credsStore": "mine"})
    assert seen.read_text().split() == ["get", "https://index.docker.io/v1/"]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exec sleep 60", "did not answer within 0.3 s"),
        ("cat >/dev/null; echo locked; exit 3", "failed with status 3: locked"),
        ("cat >/dev/null; exit 3", "failed with status 3: no message"),
        ("cat >/dev/null; echo '[]'", "answered no JSON with Username and Secret"),
        ("echo hi", "answered no JSON with Username and Secret"),
        ("exec yes", "answered more than 1 MiB"),
    ],
)
def test_failing_helper(script: str, why: str, helper: Any, tmp_path: Path) -> None:
    helper("bad", script)
    began = time.monotonic()
    limit = 0.3 if "sleep" in script else 5
    with pytest.raises(Unavailable) as caught:
        ask(tmp_path, "r.io", {"credsStore": "bad"}, timeout=limit)
    assert caught.value.message == f"cannot get credentials for r.io - docker-credential-bad {why}"
    assert caught.value.hint == REPAIR
    assert time.monotonic() - began < 4


@pytest.mark.parametrize(
    ("name", "why"),
    [("missing", "cannot be started: no such file or directory"), ("../../bin/sh", "is not a helper's name")],
)
def test_no_helper(name: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        ask(tmp_path, "r.io", {"credsStore": name})
    assert caught.value.message == f"cannot get credentials for r.io - docker-credential-{name} {why}"


def test_only_a_registry_that_asks_makes_us_look(
    helper: Any, options: RegistryOptions, busybox_layout: Layout, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    answer = json.dumps({"Username": USERNAME, "Secret": PASSWORD})
    helper("count", f"echo x >> {calls}; cat >/dev/null; echo '{answer}'")
    assert options.docker_config
    options.docker_config.parent.mkdir()
    options.docker_config.write_text('{"credsStore":"count"}')

    async def resolve(reference: str) -> None:
        async with RegistryClient(options) as client:
            await client.resolve(reference)

    with registry() as hub:
        asyncio.run(resolve(hub.push(busybox_layout.path, "a/b:1", tag="busybox")))
        assert not calls.exists(), "an open registry asks for nobody"
    with registry(auth="basic") as hub:
        asyncio.run(resolve(hub.push(busybox_layout.path, "a/b:1", tag="busybox")))
    assert calls.read_text() == "x\n"
    options.docker_config.write_text('{"credsStore":"absent"}')
    with registry(auth="basic") as hub, pytest.raises(MobyError) as caught:
        asyncio.run(resolve(f"{hub.address}/a/b:1"))
    assert "docker-credential-absent cannot be started" in caught.value.message
