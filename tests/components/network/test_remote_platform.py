"""A whole platform with a Docker network plugin beside its bridges: `docker network create -d weave`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.lab import Lab, lab
from support.platform import TestPlatform, platform

DRIVER = Path(__file__).parents[2] / "fixtures/libnetwork_driver/driver.py"
IMAGE = "tools"
SERVE = "busybox mkdir -p /w; echo i am {name} > /w/index.html; exec busybox httpd -f -p 80 -h /w"
pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]


@dataclass
class Stage:
    moby: TestPlatform
    lab: Lab
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        socket = self.folder / "weave.sock"
        socket.unlink(missing_ok=True)
        argv = [sys.executable, str(DRIVER), str(socket), str(self.folder / "state")]
        self.process = subprocess.Popen([*self.lab.prefix, *argv])
        end = time.monotonic() + 10
        while not socket.exists():
            assert time.monotonic() < end
            time.sleep(0.02)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def held(self) -> list[Any]:
        state = json.loads((self.folder / "state").read_text())
        return [state[key] for key in ("networks", "endpoints", "pools")]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    sets = [
        "components.runtime=[crun]",
        f"components.network=[bridge, {{use: remote, with: {{plugin_dirs: [{tmp_path}]}}}}]",
    ]
    with lab() as here:
        with platform("quickstart.yaml", sets=sets, user=here.prefix) as moby:
            made = Stage(moby, here, tmp_path)
            made.start()
            try:
                moby("image", "from-host", "-t", IMAGE, "sh", "busybox", "curl")
                yield made
            finally:
                made.kill()
        assert here.leftovers() == []


def test_a_plugins_network_beside_a_bridge(stage: Stage) -> None:
    moby = stage.moby
    moby("network", "create", "-d", "weave", "--ipam-driver", "weave", "far")
    shown = json.loads(moby("network", "inspect", "far").stdout)[0]
    assert (shown["Driver"], shown["IPAM"]["Driver"]) == ("weave", "weave")
    assert shown["IPAM"]["Config"] == [{"Subnet": "10.77.0.0/24", "Gateway": "10.77.0.1"}]
    moby("run", "-d", "--network", "far", "--name", "web", IMAGE, "sh", "-c", SERVE.format(name="web"))
    moby("run", "-d", "--name", "peer", IMAGE, "busybox", "sleep", "600")
    moby("network", "connect", "far", "peer")
    ask = ("exec", "peer", "curl", "-sS", "-m", "4")
    assert moby(*ask, "http://web/").stdout == "i am web\n"
    assert moby(*ask, "http://10.77.0.2/").stdout == "i am web\n"
    moby.kill_daemon()
    stage.kill()
    moby.up()  # with its driver away
    assert moby(*ask, "http://web/").stdout == "i am web\n"
    failed = moby("run", "--network", "far", "--name", "late", IMAGE, "busybox", "true", check=False)
    assert failed.returncode == 125
    assert "plugin weave does not answer" in failed.stderr
    moby("rm", "-f", "late", check=False)
    stage.start()
    late = moby("run", "--rm", "--network", "far", IMAGE, "curl", "-sS", "-m", "4", "http://web/")
    assert late.stdout == "i am web\n"
    moby("rm", "-f", "web", "peer")
    moby("network", "rm", "far")
    assert stage.held() == [{}, {}, {}]


def test_an_unknown_driver_is_refused_in_dockers_words(stage: Stage) -> None:
    done = stage.moby("network", "create", "-d", "nobody", "far", check=False)
    assert done.returncode == 1
    assert 'plugin "nobody" not found' in done.stderr
