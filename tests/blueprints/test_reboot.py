"""A simulated reboot (issue 2, line 4): all run-time state is lost, and `up` brings back what policies
ask for - with the same names, addresses, ports, volumes and files.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from support.lab import Lab, lab
from support.platform import TestPlatform, platform
from support.reboot import OF_THE_LAB, reboot

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
IMAGE = "tools"
RUNTIMES = ("crun", "runc", "bubblewrap", "runsc")
SERVE = "busybox mkdir -p /w; echo i am {name} > /w/index.html; exec busybox httpd -f -p 80 -h /w"


@dataclass
class Machine:
    network: str
    moby: TestPlatform
    lab: Lab

    def inspect(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.moby.docker("inspect", name).stdout)[0]
        return found

    def run(self, name: str, *options: str, script: str = "exec sleep 600") -> None:
        self.moby.docker("run", "-d", "--name", name, *options, IMAGE, "sh", "-c", script)

    def reboot(self) -> None:
        reboot(self.moby, self.lab)
        self.moby.up()

    def until(self, check: Callable[[], bool], what: str, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not check():
            assert time.monotonic() < deadline, f"{what}\n{self.moby.docker('ps', '-a').stdout}"
            time.sleep(0.1)

    def runs(self, *names: str) -> None:
        def all_of_them() -> bool:
            return all(self.inspect(name)["State"]["Status"] == "running" for name in names)

        self.until(all_of_them, f"{names} do not run again")


@pytest.fixture(params=["none", "bridge", "cni", "netavark"])
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    with lab() as here:
        sets = [f"components.runtime=[{', '.join(RUNTIMES)}]", f"components.network={request.param}"]
        with platform("quickstart.yaml", sets=sets, user=here.prefix) as moby:
            moby("image", "from-host", "-t", IMAGE, "sh", "busybox", "sleep", "curl")
            yield Machine(request.param, moby, here)
            ids = moby("ps", "-aq").stdout.split()
            if ids:
                moby("rm", "-f", *ids)
            for name in moby("network", "ls", "-q", "--filter", "type=custom").stdout.split():
                moby("network", "rm", name)
        assert here.interfaces() <= OF_THE_LAB
        if request.param != "cni":  # its plugins keep chains that other users of CNI share
            assert here.leftovers() == []


def test_what_policies_ask_for_runs_again(machine: Machine) -> None:
    moby = machine.moby
    policies = {"always": "always", "unless": "unless-stopped", "failure": "on-failure:5", "never": "no"}
    for name, policy in policies.items():
        machine.run(name, "--restart", policy)
    for runtime in RUNTIMES:
        machine.run(f"on-{runtime}", "--restart", "always", "--runtime", runtime)
    machine.run("stopped", "--restart", "unless-stopped", "--stop-timeout", "0")
    machine.run("stopped-always", "--restart", "always", "--stop-timeout", "0")
    moby.docker("stop", "stopped", "stopped-always")
    machine.run("removed", "--rm")
    machine.run("paused", "--restart", "always")
    moby.docker("pause", "paused")
    moby.docker("create", "--name", "created", "--restart", "always", IMAGE, "true")
    machine.run("joined", "--restart", "always", "--pid", "container:always", "--ipc", "private")

    machine.reboot()
    machine.runs("always", "unless", "failure", "stopped-always", "paused", "joined")
    machine.runs(*(f"on-{runtime}" for runtime in RUNTIMES))
    listed = moby.docker("ps", "-a", "--format", "{{.Names}} {{.Status}}").stdout.splitlines()
    status = dict(line.split(" ", 1) for line in listed)
    assert "removed" not in status
    assert status["created"] == "Created"
    assert status["never"].startswith("Exited (255) ")
    # Ended by SIGKILL after its grace of no seconds, before the reboot.
    assert status["stopped"].startswith("Exited (137) ")
    for runtime in RUNTIMES:
        assert moby.docker("exec", f"on-{runtime}", "echo", "alive").stdout == "alive\n"
    # Once more, without a word from anyone in between.
    machine.reboot()
    machine.runs("always", "unless", "failure", "stopped-always", "paused", "joined")
    assert machine.inspect("stopped")["State"]["Status"] == "exited"


def test_names_addresses_ports_volumes_and_files_are_the_same(machine: Machine) -> None:
    moby = machine.moby
    options = ["--restart", "always", "-v", "data:/data", "--health-cmd", "true", "--health-interval", "1s"]
    joined = machine.network != "none"
    if joined:
        moby.docker("network", "create", "--ipv6", "--subnet", "10.99.7.0/24", "app")
        options += ["--network", "app", "--network-alias", "front", "-p", "80"]
    machine.run(
        "web", *options, script=f"echo kept > /data/file; echo own > /own; {SERVE.format(name='web')}"
    )
    machine.run(
        "peer", "--restart", "always", *(["--network", "app", "--ip", "10.99.7.77"] if joined else [])
    )

    def shown(name: str) -> Any:
        found = machine.inspect(name)
        networks = found["NetworkSettings"]["Networks"]
        keys = (
            "IPAddress",
            "GlobalIPv6Address",
            "MacAddress",
            "Gateway",
            "IPPrefixLen",
            "NetworkID",
            "EndpointID",
        )
        addresses = {name: {key: net[key] for key in keys} for name, net in networks.items()}
        return found["Id"], found["Name"], found["Mounts"], found["Config"]["Hostname"], addresses

    before = {name: shown(name) for name in ("web", "peer")}
    ports = machine.inspect("web")["NetworkSettings"]["Ports"]
    machine.reboot()
    machine.runs("web", "peer")
    assert {name: shown(name) for name in ("web", "peer")} == before
    assert moby.docker("exec", "web", "busybox", "cat", "/data/file", "/own").stdout == "kept\nown\n"
    machine.until(
        lambda: machine.inspect("web")["State"]["Health"]["Status"] == "healthy", "health is looked at again"
    )
    if joined:
        assert machine.inspect("peer")["NetworkSettings"]["Networks"]["app"]["IPAddress"] == "10.99.7.77"
        assert moby.docker("exec", "peer", "curl", "-sS", "-m", "5", "http://front/").stdout == "i am web\n"
        assert machine.inspect("web")["NetworkSettings"]["Ports"].keys() == ports.keys()
        port = int(machine.inspect("web")["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"])
        assert machine.lab.get("127.0.0.1", port) == b"i am web\n"
    log = moby.docker("logs", "web").stdout
    assert log == ""
