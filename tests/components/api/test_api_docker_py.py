"""docker-py against this API: another client with other habits."""

from __future__ import annotations

import warnings

import pytest

from support.api_serving import Host

docker = pytest.importorskip("docker")


@pytest.fixture
def client(host: Host):
    made = docker.DockerClient(base_url=f"unix://{host.socket}", version="auto", timeout=20)
    yield made
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        made.close()


def test_run_logs_exec_and_errors(client) -> None:
    assert client.ping() is True
    assert client.containers.run("busybox:1", ["echo", "hi"], remove=True) == b"hi\n"
    with pytest.raises(docker.errors.ContainerError, match="exit status 3"):
        client.containers.run("busybox:1", ["sh", "-c", "echo bad >&2; exit 3"])
    box = client.containers.run(
        "busybox:1", ["sh", "-c", "echo a; echo b >&2; sleep 60"], detach=True, name="py"
    )
    try:
        assert box.exec_run(["sh", "-c", "echo o; echo e >&2; exit 2"], demux=True) == (2, (b"o\n", b"e\n"))
        assert box.exec_run(["tty"], tty=True, stdin=True).output.startswith(b"/dev/")
        assert box.logs() == b"a\nb\n" or box.logs() == b"b\na\n"
        assert box.logs(stdout=False) == b"b\n"
        assert [c.name for c in client.containers.list(filters={"status": "running"})] == ["py"]
        assert box.stats(stream=False)["memory_stats"]["limit"] == 1 << 30
        box.pause()
        box.reload()
        assert box.status == "paused"
        box.unpause()
        box.stop(timeout=1)
        assert box.wait()["StatusCode"] == 143
    finally:
        box.remove(force=True)
    with pytest.raises(docker.errors.NotFound, match="No such container: py"):
        client.containers.get("py")
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get("gone:1")


def test_images_volumes_networks_secrets(client) -> None:
    image = client.images.pull("busybox", tag="7")
    assert image.tags == ["busybox:7"]
    assert image.tag("localhost:5000/x", "1") is True
    assert b"".join(client.images.get("busybox:7").save())[:2] == b"\0\0"
    assert client.images.load(b"tar")[0].tags == ["loaded:1"]
    volume = client.volumes.create("v", labels={"a": "b"})
    assert client.volumes.get("v").attrs["Labels"] == {"a": "b"}
    volume.remove()
    network = client.networks.create("n", driver="x")
    assert client.networks.get(network.id).name == "n"
    network.remove()
    secret = client.secrets.create(name="s", data=b"value")
    assert [s.name for s in client.secrets.list()] == ["s"]
    secret.remove()
    assert client.df()["LayersSize"] == 4270000
