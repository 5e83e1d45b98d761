"""HEAD, GET and PUT of archives on the wire: headers, flags, content types."""

from __future__ import annotations

import base64
import json
import os
import stat

import pytest

from moby_components.api.docker.shapes.path_stat import go_mode
from support.api_serving import Host

HEADER = "X-Docker-Container-Path-Stat"


@pytest.fixture(scope="module")
def box(host: Host) -> str:
    status, made = host.json(
        "POST", "/containers/create?name=archived", {"Image": "busybox:1", "Cmd": ["true"]}
    )
    assert status == 201
    return str(made["Id"])


def test_what_was_put_is_got(host: Host, box: str) -> None:
    data = os.urandom(300_000)
    status, _, body = host.request("PUT", f"/containers/{box}/archive?path=/in", data)
    assert (status, body) == (200, b"")
    assert host.engine.calls[-1] == ("put", "/in", True, False)
    host.request("PUT", f"/containers/{box}/archive?path=/in&noOverwriteDirNonDir=1&copyUIDGID=true", data)
    assert host.engine.calls[-1] == ("put", "/in", False, True)
    status, headers, body = host.request("GET", f"/containers/{box}/archive?path=/in")
    assert (status, body) == (200, data)
    assert headers["Content-Type"] == "application/x-tar"
    assert json.loads(base64.b64decode(headers[HEADER])) == {
        "name": "in",
        "size": 3,
        "mode": 1 << 31 | 1 << 20 | 0o755,
        "mtime": "2001-09-09T01:46:40.250000Z",
        "linkTarget": "",
    }


def test_head(host: Host, box: str) -> None:
    status, headers, body = host.request("HEAD", f"/containers/{box}/archive?path=/link")
    assert (status, body) == (200, b"")
    found = json.loads(base64.b64decode(headers[HEADER]))
    assert (found["mode"], found["linkTarget"]) == (1 << 27 | 0o777, "/to")
    assert host.request("HEAD", f"/containers/{box}/archive?path=/nope")[0] == 404


def test_read_only_is_forbidden(host: Host, box: str) -> None:
    status, _, body = host.request("PUT", f"/containers/{box}/archive?path=/ro", b"x")
    assert (status, json.loads(body)) == (403, {"message": "container rootfs is marked read-only"})


def test_export(host: Host, box: str) -> None:
    status, headers, body = host.request("GET", f"/containers/{box}/export")
    assert (status, body, headers["Content-Type"]) == (200, b"all of it", "application/octet-stream")


@pytest.mark.parametrize(
    ("unix", "go"),
    [
        (stat.S_IFREG | 0o644, 0o644),
        (stat.S_IFDIR | 0o755, 1 << 31 | 0o755),
        (stat.S_IFLNK | 0o777, 1 << 27 | 0o777),
        (stat.S_IFBLK | 0o660, 1 << 26 | 0o660),
        (stat.S_IFCHR | 0o666, 1 << 26 | 1 << 21 | 0o666),
        (stat.S_IFIFO | 0o600, 1 << 25 | 0o600),
        (stat.S_IFSOCK | 0o700, 1 << 24 | 0o700),
        (stat.S_IFREG | 0o7755, 1 << 23 | 1 << 22 | 1 << 20 | 0o755),
    ],
)
def test_modes_as_go_has_them(unix: int, go: int) -> None:
    assert go_mode(unix) == go
