"""The application of three containers (blueprints/app) on every network component, and its data and
addresses when the component is swapped."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator

import pytest

from support.lab import HOST4, Lab, lab
from support.platform import BLUEPRINTS, ROOT, TestPlatform, platform

pytestmark = pytest.mark.root
APP = ROOT / "blueprints/app"


@pytest.fixture
def here() -> Iterator[Lab]:
    with lab() as made:
        yield made


def script(moby: TestPlatform, name: str, *args: str, **env: str) -> str:
    command = [*moby.user, "sh", str(APP / name), str(moby.out / "bin" / moby.name), *args]
    done = subprocess.run(
        command, env={**moby.env, **env}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("blueprint", ["bridge.yaml", "cni.yaml", "netavark.yaml", "rootless.yaml"])
def test_the_application(blueprint: str, here: Lab) -> None:
    with platform(blueprint, user=here.prefix) as moby:
        said = script(moby, "up.sh", "8080")
        assert said == ("the client says: hit number 1\nand from here: http://localhost:8080/cgi-bin/hits\n")
        assert here.get("127.0.0.1", 8080, "/cgi-bin/hits") == b"2\n"
        assert here.get(HOST4, 8080, "/cgi-bin/hits", at="remote") == b"3\n"
        moby("restart", "db")
        assert wait_for_hit(here) == b"4\n", "redis keeps its data in a volume"
        script(moby, "down.sh")
        assert moby("ps", "-aq").stdout == ""
        assert moby("volume", "ls", "-q").stdout == ""
    assert here.leftovers() == []


def wait_for_hit(here: Lab) -> bytes:
    """The next answer; the database may just be starting."""
    for _ in range(40):
        try:
            found = here.get("127.0.0.1", 8080, "/cgi-bin/hits")
        except OSError:
            found = b""
        if found:
            return found
        time.sleep(0.1)
    return b""


@pytest.mark.parametrize(
    ("driver", "words"),
    [("macvlan", "-d macvlan --subnet 192.168.77.0/24 -o parent=cable")],
)
def test_the_application_on_a_further_component(driver: str, words: str, here: Lab) -> None:
    with platform("bridge.yaml", sets=[f"components.network=[bridge, {driver}]"], user=here.prefix) as moby:
        said = script(moby, "up.sh", "8080", APP_NETWORK=words)
        assert said.splitlines()[0] == "the client says: hit number 1"
        assert json.loads(moby("network", "inspect", "app").stdout)[0]["Driver"] == driver
        script(moby, "down.sh")
    assert here.leftovers() == []


@pytest.mark.parametrize(
    ("blueprint", "message"),
    [
        (
            "host-network.yaml",
            "error: cannot create network app - network/host only has host and none\n"
            "hint: wire a network component that makes networks into the blueprint\n",
        ),
        (
            "crun.yaml",
            "error: cannot create network app - network/none only has none\n"
            "hint: wire a network component that makes networks into the blueprint\n",
        ),
    ],
)
def test_platforms_without_networks_of_their_own_say_so(blueprint: str, message: str, here: Lab) -> None:
    with platform(blueprint, user=here.prefix) as moby:
        done = moby("network", "create", "app", check=False)
        assert (done.stderr, done.returncode) == (message, 1)


def test_swapping_the_network_keeps_containers_addresses_and_data(here: Lab) -> None:
    with platform("bridge.yaml", user=here.prefix) as moby:
        script(moby, "up.sh", "8080")
        before = state(moby)
        for component, hit in (("netavark", b"2\n"), ("cni", b"3\n"), ("pasta", b"4\n"), ("bridge", b"5\n")):
            moby.down()
            assert here.leftovers() == [], "the former component left nothing"
            sets = ("--set", f"name={moby.name}", "--set", f"components.network={component}")
            moby.moby("build", str(BLUEPRINTS / "bridge.yaml"), "-o", str(moby.out), *sets)
            moby.up()
            wait_for_names(moby, "db", "web")
            assert state(moby) == before, component
            assert wait_for_hit(here) == hit, component


def wait_for_names(moby: TestPlatform, *names: str) -> None:
    """Policies start containers in the background of `up`."""
    deadline = time.monotonic() + 20
    while set(moby("ps", "--format", "{{.Names}}").stdout.split()) != set(names):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def state(moby: TestPlatform) -> dict[str, tuple[str, str, str]]:
    """name -> (id, address, mac) of all running containers."""
    found = {}
    for name in moby("ps", "--format", "{{.Names}}").stdout.split():
        shown = json.loads(moby("inspect", name).stdout)[0]
        network = shown["NetworkSettings"]["Networks"]["app"]
        found[name] = (shown["Id"], network["IPAddress"], network["MacAddress"])
    return found
