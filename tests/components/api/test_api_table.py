"""Status and whole text of every refusal, and the shape of every plain answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.api_serving import Host

REFUSALS: list[tuple[str, str, Any, int, str]] = [
    ("GET", "/nothing", None, 404, "page not found"),
    ("PUT", "/info", None, 404, "page not found"),
    (
        "GET",
        "/v1.48/info",
        None,
        400,
        "client version 1.48 is too new. Maximum supported API version is 1.47",
    ),
    (
        "GET",
        "/v1.23/info",
        None,
        400,
        "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your "
        "client to a newer version",
    ),
    ("GET", "/containers/no/json", None, 404, "No such container: no"),
    ("POST", "/containers/no/start", None, 404, "No such container: no"),
    ("POST", "/containers/no/attach?stream=1", None, 404, "No such container: no"),
    ("POST", "/containers/no/wait", None, 404, "No such container: no"),
    ("GET", "/containers/no/logs?stdout=1", None, 404, "No such container: no"),
    (
        "GET",
        "/containers/no/logs",
        None,
        400,
        "Bad parameters: you must choose at least one stream",
    ),
    ("POST", "/containers/no/wait?condition=x", None, 400, 'invalid condition: "x"'),
    (
        "POST",
        "/containers/no/attach?detachKeys=ctrl-",
        None,
        400,
        "invalid detach keys (ctrl-) provided: unknown character 'ctrl-'",
    ),
    (
        "POST",
        "/containers/no/resize?h=x&w=1",
        None,
        400,
        "invalid value 'x' for h - not a whole number",
    ),
    (
        "POST",
        "/containers/no/resize?h=1&w=70000",
        None,
        400,
        "invalid terminal size - h and w are numbers of rows and columns",
    ),
    ("POST", "/containers/create", {"Image": "gone:1"}, 404, "No such image: gone:1"),
    ("POST", "/containers/create", {"Image": "gone"}, 404, "No such image: gone:latest"),
    (
        "POST",
        "/containers/create",
        None,
        400,
        "config cannot be empty in order to create a container",
    ),
    ("POST", "/containers/create", [1], 400, "invalid JSON: the body is not an object"),
    (
        "POST",
        "/containers/create",
        "{",
        400,
        "invalid JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    ),
    ("GET", "/containers/json?filters=x", None, 400, "invalid filters - not a JSON object of lists"),
    ("GET", "/containers/json?filters=%5B1%5D", None, 400, "invalid filters - not a JSON object of lists"),
    ("GET", '/containers/json?filters={"a":["b"]}', None, 400, "invalid filter 'a'"),
    (
        "POST",
        '/containers/prune?filters={"until":["soon"]}',
        None,
        400,
        "invalid filter 'until=soon' - neither a duration nor a time",
    ),
    ("POST", "/containers/no/rename", None, 400, "Neither old nor new names may be empty"),
    (
        "DELETE",
        "/containers/no?link=1",
        None,
        400,
        "links are not served - containers of one network find each other by name",
    ),
    ("POST", "/exec/no/start", {}, 404, "No such exec instance: no"),
    ("GET", "/exec/no/json", None, 404, "No such exec instance: no"),
    ("POST", "/containers/no/exec", {}, 400, "No exec command specified"),
    ("GET", "/images/gone:1/json", None, 404, "No such image: gone:1"),
    ("GET", "/images/a/b/c/json", None, 404, "No such image: a/b/c:latest"),
    (
        "GET",
        "/images/localhost:5000/Upper/json",
        None,
        400,
        "invalid reference format: repository name (Upper) must be lowercase\n"
        'hint: did you mean "localhost:5000/upper"?',
    ),
    ("GET", "/images/get", None, 400, "no images named - give at least one as names="),
    (
        "POST",
        "/images/create?fromSrc=http://x/y.tar",
        None,
        501,
        "importing from a URL is not served - download it and send it as the body",
    ),
    (
        "POST",
        "/images/create?fromImage=missing",
        None,
        404,
        "pull access denied for docker.io/library/missing:latest, repository does not exist",
    ),
    (
        "POST",
        "/images/gone/push",
        None,
        404,
        "An image does not exist locally with the tag: gone:latest",
    ),
    (
        "POST",
        "/images/from-host",
        {"programs": ["ls"], "reference": "x"},
        501,
        "image store 'double' does not make images from the host",
    ),
    (
        "POST",
        "/images/from-host",
        {"programs": "ls"},
        400,
        "programs must be a list of names or paths of programs",
    ),
    ("GET", "/networks/no", None, 404, "network no not found"),
    ("POST", "/networks/create", {}, 400, "network name cannot be empty"),
    (
        "DELETE",
        "/networks/none",
        None,
        403,
        "none is a pre-defined network and cannot be removed",
    ),
    (
        "POST",
        "/networks/none/connect",
        {"Container": "x"},
        404,
        "No such container: x",
    ),
    ("GET", "/volumes/no", None, 404, "get no: no such volume"),
    ("GET", "/volumes/no/export", None, 404, "get no: no such volume"),
    ("POST", "/volumes/no/clone", {"Name": "x"}, 404, "get no: no such volume"),
    ("POST", "/volumes/no/clone", {"Name": 7}, 400, "invalid Name - it must be text"),
    ("GET", '/volumes?filters={"foo":["x"]}', None, 400, "invalid filter 'foo'"),
    ("GET", '/volumes?filters={"dangling":["x"]}', None, 400, "invalid filter 'dangling=[x]'"),
    (
        "PUT",
        "/volumes/x",
        {},
        501,
        "PUT /volumes/x is not served by this version of moby-py's Docker API",
    ),
    ("GET", "/secrets/no", None, 404, "secret no not found"),
    ("POST", "/secrets/create", {"Name": "x"}, 400, "secret data must not be empty"),
    (
        "POST",
        "/secrets/create",
        {"Name": "x", "Data": "!"},
        400,
        "invalid secret data - not base64",
    ),
    (
        "POST",
        "/secrets/create",
        {"Name": "x", "Driver": {"Name": "y"}},
        400,
        "secret drivers are not served - the blueprint names where secrets are kept",
    ),
    ("GET", "/plugins/x/json", None, 404, 'plugin "x" not found'),
    *(
        (
            "GET",
            path,
            None,
            503,
            "This node is not a swarm manager. Use another platform for services: this one runs "
            "containers on one host, and keeps secrets without swarm.",
        )
        for path in ("/swarm", "/nodes", "/services/x", "/tasks", "/configs")
    ),
    (
        "GET",
        "/containers/x/checkpoints",
        None,
        501,
        "GET /containers/x/checkpoints is not served by this version of moby-py's Docker API",
    ),
    ("GET", "/containers/no/export", None, 404, "No such container: no"),
    ("GET", "/containers/no/archive?path=/", None, 404, "No such container: no"),
    ("GET", "/containers/no/archive", None, 400, "bad parameter: path cannot be empty"),
    ("PUT", "/containers/no/archive?path=/x", None, 404, "No such container: no"),
    ("PUT", "/containers/no/archive?path=", None, 400, "bad parameter: path cannot be empty"),
    ("GET", "/containers/no/archive?path=%00", None, 400, "bad parameter: path holds a NUL byte"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "text"), REFUSALS)
def test_refusals(host: Host, method: str, path: str, body: Any, status: int, text: str) -> None:
    headers = {}
    if isinstance(body, str):
        headers = {"Content-Type": "application/json"}
    got, answered, data = host.request(method, path, body, headers)
    assert (got, json.loads(data)) == (status, {"message": text})
    assert answered["Content-Type"] == "application/json"
    assert answered["Api-Version"] == "1.47"


def test_every_prefix_and_none(host: Host) -> None:
    for prefix in ("", *(f"/v1.{minor}" for minor in range(24, 48))):
        status, headers, body = host.request("GET", f"{prefix}/_ping")
        assert (status, body) == (200, b"OK")
    status, headers, body = host.request("HEAD", "/_ping")
    assert (status, body) == (200, b"")
    assert headers["Builder-Version"] == "1"
    assert headers["Swarm"] == "inactive"
    assert headers["Ostype"] == "linux"
    assert headers["Docker-Experimental"] == "false"
    assert headers["Cache-Control"].startswith("no-cache")


def test_a_body_of_another_type_is_refused(host: Host) -> None:
    status, _, data = host.request("POST", "/containers/create", "{}", {"Content-Type": "text/plain"})
    assert status == 400
    assert json.loads(data) == {
        "message": "unsupported Content-Type header (text/plain): must be 'application/json'"
    }


def test_a_large_body_is_refused_before_it_is_read(host: Host) -> None:
    status, _, data = host.request(
        "POST", "/containers/create", b" " * (5 << 20), {"Content-Type": "application/json"}
    )
    assert status == 413
    assert json.loads(data) == {"message": "request body is too large - at most 4194304 bytes of JSON"}


def test_our_own_bug_is_a_500_and_logged(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("spoilt")

    kept = dict(host.engine.boxes)
    host.engine.boxes["broken"] = Broken()  # type: ignore[assignment]
    try:
        status, body = host.json("GET", "/containers/json?all=1")
    finally:
        host.engine.boxes = kept
    assert (status, body) == (500, {"message": "RuntimeError: spoilt"})
    assert "GET /containers/json failed" in caplog.text
    assert "Traceback" in caplog.text


def test_both_forms_of_filters(host: Host) -> None:
    for text in ('{"status":["exited"]}', '{"status":{"exited":true}}'):
        assert host.json("GET", f"/containers/json?filters={text}")[0] == 200
        assert host.engine.calls[-1] == ("list", True, 0, {"status": ["exited"]})


def test_life_of_a_container_as_plain_calls(host: Host) -> None:
    body = {"Image": "busybox:1", "Cmd": ["sleep", "60"], "Odd": {"new": 1}, "HostConfig": {"Memory": 7}}
    status, made = host.json("POST", "/v1.41/containers/create?name=plain&platform=linux/x", body)
    assert (status, made["Warnings"]) == (201, ["a warning"])
    id = made["Id"]
    assert host.json("POST", "/containers/create?name=plain", body)[0] == 409
    assert host.json("POST", f"/containers/{id}/start") == (204, None)
    assert host.json("POST", f"/containers/{id[:6]}/start") == (304, None)
    found = host.json("GET", "/containers/plain/json")[1]
    assert found["Config"]["Odd"] == {"new": 1}
    assert found["HostConfig"]["Memory"] == 7
    assert found["HostConfig"]["NetworkMode"] == "default"
    assert found["HostConfig"]["RestartPolicy"] == {"Name": "no", "MaximumRetryCount": 0}
    assert found["State"]["Running"] is True
    assert "HostConfig" not in found["Config"]
    listed = host.json("GET", "/containers/json")[1][0]
    assert listed["Names"] == ["/plain"]
    assert listed["Command"] == "sleep 60"
    assert listed["Status"].startswith("Up ")
    assert isinstance(listed["Created"], int)
    assert host.json("POST", "/containers/plain/pause") == (204, None)
    assert host.json("GET", "/containers/json?all=1")[1][0]["Status"].endswith("(Paused)")
    assert host.json("POST", "/containers/plain/unpause") == (204, None)
    assert host.json("POST", "/containers/plain/rename?name=/other") == (204, None)
    assert host.json("POST", "/containers/other/update", {"Memory": 9}) == (
        200,
        {"Warnings": ["swap is off"]},
    )
    assert host.json("GET", "/containers/other/top")[1]["Titles"] == ["PID", "CMD"]
    assert host.json("GET", "/containers/other/changes")[1] == [
        {"Path": "/etc", "Kind": 0},
        {"Path": "/etc/new", "Kind": 1},
    ]
    sample = host.json("GET", "/containers/other/stats?stream=0&one-shot=1")[1]
    assert sample["memory_stats"] == {
        "usage": 2 << 20,
        "limit": 1 << 30,
        "stats": {"inactive_file": 1 << 20},
    }
    assert sample["cpu_stats"]["system_cpu_usage"] > 0
    assert host.json("DELETE", "/containers/other")[0] == 409
    assert host.json("POST", "/containers/other/stop?t=1&signal=INT") == (204, None)
    assert ("stop", 1, "INT") in host.engine.calls
    assert host.json("POST", "/containers/other/stop") == (304, None)
    assert host.json("POST", "/containers/other/kill")[0] == 409
    assert host.json("POST", "/containers/other/wait") == (200, {"StatusCode": 143})
    assert host.json("DELETE", "/containers/other?v=1&force=1") == (204, None)
    assert ("remove", True, True) in host.engine.calls


def test_prune_takes_what_has_stopped(host: Host) -> None:
    old = host.json("POST", "/containers/create", {"Image": "busybox:1", "Labels": {"keep": "1"}})[1]["Id"]
    new = host.json("POST", "/containers/create", {"Image": "busybox:1"})[1]["Id"]
    answer = host.json("POST", '/containers/prune?filters={"label!":["keep"]}')[1]
    assert answer == {"ContainersDeleted": [new], "SpaceReclaimed": 0}
    answer = host.json("POST", '/containers/prune?filters={"until":["1h"]}')[1]
    assert answer == {"ContainersDeleted": None, "SpaceReclaimed": 0}
    assert host.json("POST", "/containers/prune")[1]["ContainersDeleted"] == [old]
