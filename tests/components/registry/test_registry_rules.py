"""The small rules: challenges, platforms, which host may speak plain HTTP, what the package imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from moby_components.image_store.overlay.registry_client.auth import Challenge, choose, parse_challenges
from moby_components.image_store.overlay.registry_client.hosts import HUB, Hosts, is_loopback
from moby_components.image_store.overlay.registry_client.platforms import (
    acceptable,
    make,
    parse_platform,
)
from moby_components.image_store.overlay.registry_client.platforms import choose as choose_platform
from moby_components.image_store.overlay.registry_client.problems import detail_of, readable
from moby_components.image_store.overlay.registry_client.types import RegistryOptions
from moby_py.errors import InvalidArgument

HUB_CHALLENGE = (
    'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",'
    'scope="repository:library/alpine:pull,push"'
)


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ([], None),
        (["Digest realm=x"], None),
        (["Bearer"], None),
        (["basic"], Challenge("basic")),
        (['Basic realm="my \\"registry\\""'], Challenge("basic", 'my "registry"')),
        (
            [HUB_CHALLENGE],
            Challenge(
                "bearer",
                "https://auth.docker.io/token",
                "registry.docker.io",
                "repository:library/alpine:pull,push",
            ),
        ),
        (['BEARER Realm = "http://x" , service=y'], Challenge("bearer", "http://x", "y")),
        (['Basic realm="a", Bearer realm="http://x"'], Challenge("bearer", "http://x")),
        (['Negotiate, Basic realm="a"'], Challenge("basic", "a")),
        (['Basic realm="a"', 'Bearer realm="http://x"'], Challenge("bearer", "http://x")),
        (["Basic " + ",," * 100_000], Challenge("basic")),
    ],
)
def test_challenges(headers: list[str], wanted: Challenge | None) -> None:
    assert choose(parse_challenges(headers)) == wanted


@pytest.mark.parametrize(
    ("text", "shown"),
    {
        "linux/amd64": "linux/amd64",
        "linux/x86_64": "linux/amd64",
        "aarch64": "linux/arm64",
        "linux/arm64/v8": "linux/arm64",
        "linux/arm": "linux/arm/v7",
        "linux/armhf": "linux/arm/v7",
        "linux/arm/6": "linux/arm/v6",
        "Linux/AMD64/v3": "linux/amd64/v3",
        "windows/amd64": "windows/amd64",
    }.items(),
)
def test_platform_names(text: str, shown: str) -> None:
    assert str(parse_platform(text)) == shown


@pytest.mark.parametrize("text", ["/", "linux/", "a/b/c/d", "linux/../x", "linux/amd64 ", "linux//v8"])
def test_no_platform(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_platform(text)
    assert caught.value.message == (f'"{text}" is not a platform - it has the form OS/ARCHITECTURE[/VARIANT]')
    assert caught.value.hint == "for example linux/arm64 or linux/arm/v7"


def test_which_image_runs_where() -> None:
    arm = parse_platform("linux/arm/v7")
    assert [str(p) for p in acceptable(arm)] == ["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]
    amd = parse_platform("linux/amd64/v3")
    assert [p.variant for p in acceptable(amd)] == ["v3", "v2", "v1", ""]
    old, new, none = make("linux", "arm", "v5"), make("linux", "arm", "v7"), None
    assert choose_platform(arm, [old, new]) == 1
    assert choose_platform(arm, [make("linux", "arm", "v8"), old]) == 1, "never a newer variant"
    assert choose_platform(parse_platform("linux/arm64"), [old, new]) == 1
    assert choose_platform(amd, [make("linux", "386")]) == 0
    assert choose_platform(amd, [old, none]) == 1
    assert choose_platform(amd, [make("windows", "amd64")]) is None


def test_hosts() -> None:
    hosts = Hosts(RegistryOptions(insecure=("lab:5000", "10.0.0.0/8", "lan")))
    hub = hosts.origin("docker.io")
    assert (hub.netloc, hub.schemes, hub.verify, hub.domain) == (HUB, ("https",), True, "docker.io")
    both = ("https", "http")
    for domain, schemes, verify in (
        ("quay.io", ("https",), True),
        ("127.0.0.1:5000", both, True),
        ("[::1]:5000", both, True),
        ("localhost:1", both, True),
        ("localhost.evil.example", ("https",), True),
        ("127.0.0.1.evil.example", ("https",), True),
        ("lab:5000", both, False),
        ("lab:5001", ("https",), True),
        ("lan:1234", both, False),
        ("10.1.2.3:80", both, False),
        ("11.1.2.3:80", ("https",), True),
    ):
        found = hosts.origin(domain)
        assert (domain, found.schemes, found.verify) == (domain, schemes, verify)
    assert not is_loopback("[::ffff:8.8.8.8]:80")


def test_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "inside.example")
    hosts = Hosts(RegistryOptions())
    assert hosts.proxy("https", "quay.io") == "http://proxy:3128"
    assert hosts.proxy("https", "r.inside.example:443") is None
    assert hosts.proxy("http", "quay.io") is None
    assert hosts.proxy("https", "127.0.0.1:5000") is None
    assert Hosts(RegistryOptions(use_proxies=False)).proxy("https", "quay.io") is None


def test_what_registries_say_is_made_readable() -> None:
    assert readable("a\x1b[2J\r\nb\u202ec") == "a [2J b c"
    assert detail_of(b'{"errors":[{"code":"X"},{"message":"two"},7]}', "") == "X; two"
    assert detail_of(b'{"errors":[]}', "") == ""
    assert detail_of(b'{"details":"no"}', "") == "no"
    assert detail_of(b'{"errors":{"a":1}}', "") == ""
    assert detail_of(b"[" * 100_000, "")[:4] == "[[[["


def test_aiohttp_comes_with_the_first_request_only() -> None:
    code = (
        "import sys, moby_components.image_store.overlay.registry_client as r;"
        "r.RegistryClient(); print({'aiohttp', 'yarl', 'ssl'} & {*sys.modules})"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": f"{root}/assembler:{root}/components"},
    )
    assert done.stdout.strip() == "set()"
