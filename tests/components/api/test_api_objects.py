"""Images, networks, volumes, secrets, facts: the shape of every plain answer."""

from __future__ import annotations

import base64
import json

from support.api_serving import Host


def test_images(host: Host) -> None:
    found = host.json("GET", "/images/json")[1]
    assert found[0]["RepoTags"] == ["busybox:1"]
    assert found[0]["Created"] == 1714979289
    assert host.json("GET", '/images/json?filters={"reference":["busy*"]}')[1] == found
    assert host.json("GET", '/images/json?filters={"reference":["other"]}')[1] == []
    assert host.json("GET", '/images/json?filters={"label":["a=b"],"dangling":["false"]}')[1] == found
    id = found[0]["Id"]
    for name in ("busybox:1", "docker.io/library/busybox:1", id, id[7:19]):
        assert host.json("GET", f"/images/{name}/json")[1]["Id"] == id
    steps = host.json("GET", "/images/busybox:1/history")[1]
    assert [(s["CreatedBy"], s["Size"], s["Id"]) for s in steps] == [
        ("CMD sh", 0, id),
        ("ADD rootfs", 4270000, "<missing>"),
    ]
    assert host.json("POST", "/images/busybox:1/tag?repo=localhost:5000/x/y&tag=2") == (201, None)
    assert host.json("POST", "/images/busybox:1/tag?repo=x@sha256:" + "0" * 64)[0] == 400
    assert host.json("GET", "/images/localhost:5000/x/y:2/json")[1]["Id"] == id
    gone = host.json("DELETE", "/images/localhost:5000/x/y:2")[1]
    assert gone == [{"Untagged": "busybox:1"}, {"Untagged": "localhost:5000/x/y:2"}, {"Deleted": id}]
    host.store.add("docker.io/library/busybox:1")


def test_pull_streams_progress_and_its_failure(host: Host) -> None:
    auth = base64.urlsafe_b64encode(json.dumps({"username": "u", "password": "p"}).encode()).decode()
    status, headers, data = host.request(
        "POST", "/images/create?fromImage=busybox&tag=2&platform=linux/arm64", None, {"X-Registry-Auth": auth}
    )
    lines = [json.loads(line) for line in data.splitlines()]
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert lines[0] == {"status": "Pulling from library/busybox", "progressDetail": {}, "id": "1"}
    assert lines[1]["progressDetail"] == {"current": 512, "total": 1024}
    assert lines[1]["progress"] == f"[{'=' * 25}>{' ' * 24}]  512B/1.024kB"
    assert lines[-1]["status"] == "Pull complete"
    call = host.engine.calls[-1]
    assert call[1:3] == ("docker.io/library/busybox:2", "linux/arm64")
    assert (call[3].username, call[3].password) == ("u", "p")
    digest = "sha256:" + "a" * 64
    host.request("POST", f"/images/create?fromImage=busybox&tag={digest}")
    assert host.engine.calls[-1][1] == f"docker.io/library/busybox@{digest}"
    status, _, data = host.request("POST", "/images/create?fromImage=breaks")
    assert status == 200
    assert json.loads(data.splitlines()[-1]) == {
        "errorDetail": {"message": "the layer broke"},
        "error": "the layer broke",
    }


def test_a_spoilt_auth_header_is_refused_without_its_text(host: Host) -> None:
    status, _, data = host.request(
        "POST", "/images/create?fromImage=busybox", None, {"X-Registry-Auth": "hunter2!!"}
    )
    assert (status, json.loads(data)) == (
        400,
        {"message": "invalid X-Registry-Auth header - not base64 of JSON"},
    )


def test_load_save_import_push(host: Host) -> None:
    big = bytes(range(256)) * 4096
    status, _, data = host.request("POST", "/images/load?quiet=0", big, {"Content-Type": "application/x-tar"})
    assert (status, json.loads(data)) == (200, {"stream": "Loaded image: loaded:1\n"})
    assert host.store.taken == big
    status, headers, data = host.request("GET", "/images/get?names=loaded:1&names=busybox:1")
    assert (status, headers["Content-Type"], len(data)) == (200, "application/x-tar", 64 * 16384)
    status, _, data = host.request(
        "POST",
        "/images/create?fromSrc=-&repo=made&tag=3&changes=CMD%20%5B%22a%22%5D&changes=ENV%20A=1",
        b"tar",
        {"Content-Type": "application/x-tar"},
    )
    assert json.loads(data)["status"].startswith("sha256:")
    assert host.store.imported == {"Cmd": ["a"], "Env": ["A=1"]}
    status, body = host.json("GET", "/images/made:3/json")
    assert (status, "ContainerConfig" in body) == (200, False)
    body = host.json("GET", "/v1.44/images/made:3/json")[1]
    assert body["ContainerConfig"] == body["Config"]  # Compose 1.29 reads its volumes
    status, _, data = host.request("POST", "/images/made/push?tag=3", None, {"X-Registry-Auth": "e30="})
    assert status == 200
    assert json.loads(data.splitlines()[-1])["aux"] == {
        "Tag": "3",
        "Digest": "sha256:" + "d" * 64,
    }
    assert host.store.auth is None


def test_commit_merges_the_changes_into_the_config(host: Host) -> None:
    id = host.json("POST", "/containers/create", {"Image": "busybox:1", "Env": ["A=1", "B=2"]})[1]["Id"]
    status, body = host.json(
        "POST",
        f"/commit?container={id}&repo=mine&tag=1&author=me&comment=why&pause=0&changes=ENV%20B=3"
        "&changes=LABEL%20x=%22y%20z%22&changes=EXPOSE%2080",
    )
    assert (status, body["Id"][:7]) == (201, "sha256:")
    call = next(c for c in host.engine.calls if c[0] == "commit")
    assert (call[1], call[2], call[3], call[5]) == ("docker.io/library/mine:1", "me", "why", False)
    assert call[4]["Env"] == ["A=1", "B=3"]
    assert call[4]["Labels"] == {"x": "y z"}
    assert call[4]["ExposedPorts"] == {"80/tcp": {}}
    assert host.json("POST", f"/commit?container={id}&changes=RUN%20x")[1] == {
        "message": "RUN is not a valid change command"
    }
    host.json("DELETE", f"/containers/{id}")


def test_volumes_as_files(host: Host) -> None:
    """moby-py's own routes: bytes as they are, in both directions, below any version."""
    assert host.json("PUT", "/v1.47/volumes/fresh/import", b"a tar")[0] == 201
    assert host.engine.calls[-1] == ("import", "fresh", b"a tar")
    status, headers, data = host.request("GET", "/volumes/fresh/export")
    assert (status, headers["Content-Type"], data) == (200, "application/x-tar", b"the data of fresh")
    assert host.json("POST", "/volumes/fresh/clone", {"Name": "twin"})[1]["Name"] == "twin"
    sizes = host.json("GET", "/system/df")[1]["Volumes"]
    assert [(v["Name"], v["UsageData"]) for v in sizes] == [
        (name, {"Size": 7, "RefCount": 0}) for name in ("fresh", "twin")
    ]
    pruned = host.json("POST", '/volumes/prune?filters={"all":["true"]}')[1]
    assert pruned == {"VolumesDeleted": ["fresh", "twin"], "SpaceReclaimed": 14}


def test_networks_volumes_secrets(host: Host) -> None:
    status, made = host.json("POST", "/networks/create", {"Name": "back", "Driver": "b", "Unknown": 1})
    assert status == 201
    assert host.json("GET", '/networks?filters={"type":["custom"]}')[1][0]["Name"] == "back"
    assert host.json("GET", "/networks/back?scope=&verbose=false")[1]["Id"] == made["Id"]
    assert host.json("POST", "/networks/prune")[1] == {"NetworksDeleted": ["back"]}
    assert host.json("POST", "/volumes/create", {"Name": "v", "Labels": {"k": "1"}})[0] == 201
    assert host.json("GET", '/volumes?filters={"label":["k=2"]}')[1] == {"Volumes": [], "Warnings": None}
    assert host.json("GET", "/volumes")[1]["Volumes"][0]["Name"] == "v"
    assert host.json("POST", "/v1.42/volumes/prune")[1]["VolumesDeleted"] is None
    assert host.json("POST", '/volumes/prune?filters={"all":["true"]}')[1]["VolumesDeleted"] == ["v"]
    data = base64.b64encode(b"\xff\xfe secret").decode()
    status, made = host.json("POST", "/secrets/create", {"Name": "s", "Labels": {}, "Data": data})
    assert status == 201
    found = host.json("GET", f"/secrets/{made['ID'][:8]}")[1]
    assert found["Spec"] == {"Name": "s", "Labels": {}}
    assert "Data" not in found["Spec"]
    assert host.run(host.secrets.reveal("s")) == b"\xff\xfe secret"
    assert host.json("POST", "/secrets/s/update?version=9", {}) == (
        400,
        {"message": "update out of sequence - the secret is at version 1"},
    )
    assert host.json("POST", "/secrets/s/update?version=1", {"Name": "s", "Labels": {"a": "b"}})[0] == 200
    assert host.json("GET", "/secrets")[1][0]["Version"] == {"Index": 2}
    assert host.json("DELETE", "/secrets/s") == (204, None)
    assert [e.action for e in host.engine.past if e.type == "secret"] == ["create", "update", "remove"]


def test_info_version_and_disk_usage(host: Host) -> None:
    version = host.json("GET", "/version")[1]
    assert version["Components"][0]["Details"]["ApiVersion"] == "1.47"
    info = host.json("GET", "/info")[1]
    assert info["DefaultRuntime"] == "double"
    assert info["Swarm"]["ControlAvailable"] is False
    assert info["Containers"] == 3  # the engine's word goes before ours
    usage = host.json("GET", "/system/df")[1]
    assert set(usage) == {"LayersSize", "Images", "Containers", "Volumes", "BuildCache", "BuilderSize"}
