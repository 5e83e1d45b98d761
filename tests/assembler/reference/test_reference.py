"""References: a table checked against another implementation of the same grammar, and Docker's words."""

from __future__ import annotations

import subprocess
import sys

import pytest
from docker_image import reference as peer
from docker_image.digest import InvalidDigest
from hypothesis import given
from hypothesis import strategies as st

from moby_py.errors import InvalidArgument
from moby_py.reference import Reference, check_digest, parse

SHA = "sha256:" + "0123456789abcdef" * 4
FULL = {
    "alpine": "docker.io/library/alpine:latest",
    "alpine:3.20": "docker.io/library/alpine:3.20",
    "docker.io/alpine": "docker.io/library/alpine:latest",
    "index.docker.io/alpine": "docker.io/library/alpine:latest",
    "index.docker.io/library/alpine:1": "docker.io/library/alpine:1",
    "library/alpine": "docker.io/library/alpine:latest",
    "user/app:v1": "docker.io/user/app:v1",
    "a/b/c/d": "docker.io/a/b/c/d:latest",
    "docker.io/library/x/y": "docker.io/library/x/y:latest",
    "localhost": "docker.io/library/localhost:latest",
    "localhost/app": "localhost/app:latest",
    "localhost:5000/app:1": "localhost:5000/app:1",
    "127.0.0.1:5000/app": "127.0.0.1:5000/app:latest",
    "[::1]:5000/app:2": "[::1]:5000/app:2",
    "[2001:db8::1]/app": "[2001:db8::1]/app:latest",
    "REGISTRY/app": "REGISTRY/app:latest",
    "registry.example.com/app@" + SHA: "registry.example.com/app@" + SHA,
    "alpine:3@" + SHA: "docker.io/library/alpine:3@" + SHA,
    "xn--n3h.com/app": "xn--n3h.com/app:latest",
    "my__app/a-----b.c_d": "docker.io/my__app/a-----b.c_d:latest",
    "foo:5000": "docker.io/library/foo:5000",
    "app:_x.-Y": "docker.io/library/app:_x.-Y",
    "a" * 247 + ":t": "docker.io/library/" + "a" * 247 + ":t",
}
FORMAT = "invalid reference format"
REFUSED = {
    "": "repository name must have at least one component",
    "FOO": f"{FORMAT}: repository name (library/FOO) must be lowercase",
    "a/FOO:x": f"{FORMAT}: repository name (a/FOO) must be lowercase",
    "host.io/Foo": f"{FORMAT}: repository name (Foo) must be lowercase",
    "a" * 64: f"invalid repository name ({'a' * 64}), cannot specify 64-byte hexadecimal strings",
    "a" * 248: "repository name must not be more than 255 characters",
    "a" * 9000: FORMAT,
    " alpine": FORMAT,
    "alpine\n": FORMAT,
    "alpine:": FORMAT,
    "alpine:tag\n": FORMAT,
    "alpine:-x": FORMAT,
    "alpine:" + "t" * 129: FORMAT,
    "alpine:ü": FORMAT,
    "-alpine": FORMAT,
    "a___b": FORMAT,
    "a..b/c": FORMAT,
    "a//b": FORMAT,
    "/a": FORMAT,
    "a/": FORMAT,
    "foo_bar.com/x": FORMAT,
    "foo_bar.com:8080/x": FORMAT,
    "[fe80::1%eth0]:5000/x": FORMAT,
    "http://x/y": FORMAT,
    "../../etc/passwd": FORMAT,
    "alpine@sha256:abc": FORMAT,
    "alpine@sha256:" + "a" * 63: "invalid checksum digest length",
    "alpine@sha256:" + "A" * 64: "invalid checksum digest format",
    "alpine@md5:" + "a" * 32: "unsupported digest algorithm",
}


@pytest.mark.parametrize(("text", "full"), FULL.items(), ids=lambda v: v[:40])
def test_full(text: str, full: str) -> None:
    reference = parse(text)
    assert str(reference) == full
    assert parse(full) == reference, "a full reference is its own normal form"
    assert parse(reference.familiar()) == reference, "nothing is lost in the short form"


@pytest.mark.parametrize(("text", "message"), REFUSED.items(), ids=lambda v: repr(v[:30]))
def test_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse(text)
    assert caught.value.message == message
    assert caught.value.hint


def other(text: str) -> tuple[str, str, str, str] | None:
    """The same parse by docker-image-py; None where it refuses."""
    try:
        found = peer.Reference.parse_normalized_named(text)
    except (peer.InvalidReference, InvalidDigest):
        return None
    return found.domain(), found.path(), found["tag"] or "", found["digest"] or ""


def ours(text: str) -> tuple[str, str, str, str] | None:
    try:
        found = parse(text, default_tag="")
    except InvalidArgument:
        return None
    return found.domain, found.path, found.tag, found.digest


@pytest.mark.parametrize("text", [*FULL, *REFUSED], ids=lambda v: repr(v[:30]))
def test_same_answer_as_docker_image_py(text: str) -> None:
    if text in ("alpine\n", "alpine:tag\n"):
        assert ours(text) is None  # Python's `$` lets one newline pass there; Go's does not
    else:
        assert ours(text) == other(text)


piece = st.sampled_from(
    [
        "a",
        "b9",
        "A",
        ".",
        "-",
        "_",
        "__",
        ":",
        "/",
        "@",
        "[",
        "]",
        "::1",
        "localhost",
        "docker.io",
        SHA,
        "sha256:",
        " ",
    ]
)


@given(st.lists(piece, max_size=9).map("".join))
def test_any_text_gets_the_same_answer(text: str) -> None:
    assert ours(text) == other(text)


@given(st.text(max_size=300))
def test_no_text_is_a_traceback(text: str) -> None:
    ours(text)


def test_familiar() -> None:
    assert parse("docker.io/library/alpine:3").familiar() == "alpine:3"
    assert parse("docker.io/user/app").familiar() == "user/app:latest"
    assert parse("docker.io/library/x/y:1").familiar() == "library/x/y:1"
    assert parse("quay.io/library/x:1").familiar() == "quay.io/library/x:1"
    assert parse("alpine@" + SHA).familiar() == "alpine@" + SHA
    assert parse("alpine").familiar_name() == "alpine"


def test_other_tag_or_digest() -> None:
    reference = parse("alpine:3@" + SHA)
    assert reference.target == SHA
    assert reference.with_tag("4") == Reference("docker.io", "library/alpine", "4")
    assert reference.with_digest("sha512:" + "0" * 128).target == "sha512:" + "0" * 128
    with pytest.raises(InvalidArgument, match=r"^invalid tag format$"):
        reference.with_tag("a b")
    with pytest.raises(InvalidArgument, match=r"^invalid checksum digest format$"):
        check_digest("sha256")


def test_importing_it_is_cheap() -> None:
    code = "import sys, moby_py.reference; print({'aiohttp', 'regex', 'jsonschema'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
