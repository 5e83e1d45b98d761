"""SIGKILL to the daemon, again and again, under load (issue 1, line 5).

Fifty rounds at random moments while clients create, run, pull and remove. After each restart the
containers that ran still run, with the same process; those that ended meanwhile have their own exit
code and their whole log. At the end nothing is left: no mount, process, cgroup, blob or file.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.api import ApiError, Client
from support.archive import BUSYBOX, busybox_archive
from support.images import Layout, nasty
from support.platform import TestPlatform, leftovers, platform
from support.registry import Registry, registry

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(480)]
ROUNDS = int(os.environ.get("MOBY_PY_CRASH_ROUNDS", "50"))
RUNTIMES = tuple(os.environ.get("MOBY_PY_CRASH_RUNTIMES", "crun bubblewrap").split())
BLUEPRINT = """\
blueprint: 1
name: crash
components: {runtime: [crun, bubblewrap, runc], image_store: overlay, network: none}
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Registry]:
    with registry() as running:
        layout = Layout(tmp_path / "nasty")
        nasty(layout)
        running.push(layout.path, "crash/nasty:latest", tag="nasty")
        yield running


@pytest.fixture
def moby(tmp_path: Path) -> Iterator[TestPlatform]:
    with platform(BLUEPRINT) as running:
        running("load", "-i", str(busybox_archive(tmp_path)))
        yield running


class Load:
    """Clients that do what people do, and do not mind when the daemon dies under them."""

    def __init__(self, moby: TestPlatform, reference: str, seed: int) -> None:
        self.moby, self.reference = moby, reference
        self.stop = threading.Event()
        self.done = 0
        self.threads = [
            threading.Thread(target=self._work, args=(random.Random(seed + n),), daemon=True)
            for n in range(3)
        ]
        for thread in self.threads:
            thread.start()

    def end(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(30)

    def _work(self, dice: random.Random) -> None:
        while not self.stop.is_set():
            try:
                client = Client(self.moby.socket)
            except OSError:
                time.sleep(0.02)
                continue
            with contextlib.suppress(OSError, http.client.HTTPException, ApiError, ValueError):
                self._step(client, dice)
                self.done += 1
            client.close()

    def _step(self, client: Client, dice: random.Random) -> None:
        runtime = dice.choice(RUNTIMES)
        match dice.randrange(5):
            case 0:
                assert client.run(BUSYBOX, "true", Runtime=runtime) == 0
            case 1:
                body = {"Image": BUSYBOX, "Cmd": ["sleep", "30"], "HostConfig": {"Runtime": runtime}}
                id = client.call("POST", "/containers/create", body)["Id"]
                client.call("POST", f"/containers/{id}/start")
                client.call("DELETE", f"/containers/{id}?force=1")
            case 2:
                client.call("POST", f"/images/create?fromImage={self.reference}&tag=latest")
            case 3:
                client.call("DELETE", f"/images/{self.reference}:latest?force=1")
            case 4:
                body = {"Image": BUSYBOX, "Cmd": ["sh", "-c", "echo x > /file; exit 3"]}
                id = client.call("POST", "/containers/create", body)["Id"]
                client.call("POST", f"/containers/{id}/start")


def start(client: Client, name: str, runtime: str, script: str) -> int:
    body = {"Image": BUSYBOX, "Cmd": ["sh", "-c", script], "HostConfig": {"Runtime": runtime}}
    id = client.call("POST", f"/containers/create?name={name}", body)["Id"]
    client.call("POST", f"/containers/{id}/start")
    return int(client.call("GET", f"/containers/{id}/json")["State"]["Pid"])


def test_fifty_sigkills_under_load(moby: TestPlatform, hub: Registry) -> None:
    dice = random.Random(20261124)
    client = Client(moby.socket)
    steady = "trap 'exit 23' TERM; n=0; while :; do n=$((n+1)); echo $n; sleep 0.2; done"
    pids = {f"steady-{name}": start(client, f"steady-{name}", name, steady) for name in RUNTIMES}
    client.close()
    load = Load(moby, f"{hub.address}/crash/nasty", seed=7)
    try:
        for number in range(ROUNDS):
            name, code = f"ends-{number}", dice.randrange(1, 100)
            runtime = dice.choice(RUNTIMES)
            client = Client(moby.socket)
            script = f"for n in 1 2 3 4; do echo line $n; sleep 0.1; done; exit {code}"
            start(client, name, runtime, script)
            client.close()
            time.sleep(dice.random() * 0.5)
            moby.kill_daemon()
            time.sleep(dice.choice((0, 0, 0.6)))
            moby.up()
            client = Client(moby.socket)
            for steady_name, pid in pids.items():
                state = client.call("GET", f"/containers/{steady_name}/json")["State"]
                assert (state["Status"], state["Pid"]) == ("running", pid), (number, steady_name)
            answer = client.call("POST", f"/containers/{name}/wait")
            assert answer["StatusCode"] == code, (number, runtime, answer)
            said = moby("logs", name).stdout
            assert said == "line 1\nline 2\nline 3\nline 4\n", (number, runtime)
            client.call("DELETE", f"/containers/{name}")
            client.close()
    finally:
        load.end()
    assert load.done > ROUNDS / 2, "the load did nothing"
    client = Client(moby.socket)
    for name in pids:
        lines = moby("logs", name).stdout.split()
        assert lines == [str(n + 1) for n in range(len(lines))], "a line is missing or twice"
        client.call("POST", f"/containers/{name}/stop")
        assert client.call("GET", f"/containers/{name}/json")["State"]["ExitCode"] == 23
    remove_everything(moby, client)
    client.close()
    moby.down()
    assert leftovers(moby) == []
    assert files_left(moby) == []


def remove_everything(moby: TestPlatform, client: Client) -> None:
    for container in client.call("GET", "/containers/json?all=1"):
        client.call("DELETE", f"/containers/{container['Id']}?force=1")
    for image in client.call("GET", "/images/json"):
        client.call("DELETE", f"/images/{image['Id']}?force=1")
    for volume in client.call("GET", "/volumes")["Volumes"] or ():
        client.call("DELETE", f"/volumes/{volume['Name']}")
    moby("system", "prune", "-f")
    assert json.loads(moby("ps", "-a", "--json").stdout) == []


def files_left(moby: TestPlatform) -> list[str]:
    """Files and folders below state that belong to containers, layers or blobs; by their long hex names."""
    found = []
    for path in [*moby.state.rglob("*"), *moby.run_dir.rglob("*")]:
        name = path.name.split(".")[0]
        if len(name) >= 32 and all(c in "0123456789abcdef" for c in name):
            found.append(str(path))
    return found
