"""The cells of the table (test_network_table.py) that are not networks of one's own: `host` and `none`
on every runtime, and those that cannot work, which `moby-py check` refuses with the reason."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from support.lab import HOST4, Lab, lab
from support.platform import BLUEPRINTS, TestPlatform, platform

pytestmark = pytest.mark.root
RUNTIMES = ("crun", "runc", "runsc", "bubblewrap")
ORDINARY = ("setpriv", "--reuid=12345", "--regid=12345", "--clear-groups")


@dataclass
class Place:
    moby: TestPlatform
    lab: Lab


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with lab() as here:
        sets = ["components.runtime=[crun, runc, runsc, bubblewrap]", "components.network=host"]
        with platform("quickstart.yaml", sets=sets, user=here.prefix) as moby:
            moby("image", "from-host", "-t", "tools", "sh", "busybox", "curl")
            yield Place(moby, here)
        assert here.leftovers() == []


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_host(place: Place, runtime: str) -> None:
    """The host's interfaces and ports, at once from a remote machine."""
    moby, name, port = place.moby, f"host-{runtime}", 8100 + RUNTIMES.index(runtime)
    serve = f"busybox mkdir -p /w; echo {name} > /w/index.html; exec busybox httpd -f -p {port} -h /w"
    moby("run", "-d", "--name", name, "--runtime", runtime, "--network", "host", "tools", "sh", "-c", serve)
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                found = place.lab.get(HOST4, port, at="remote")
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        assert found == f"{name}\n".encode()
        names = moby("exec", name, "busybox", "ls", "/sys/class/net").stdout.split()
        if runtime == "runsc":  # its sysfs shows no devices
            names = ["cable"]
        assert "cable" in names
    finally:
        moby("rm", "-f", name)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_none(place: Place, runtime: str) -> None:
    """A loopback that works, and no way to anywhere."""
    script = (
        "busybox mkdir -p /w; echo own > /w/index.html; busybox httpd -p 80 -h /w; "
        f"curl -s -m 5 http://127.0.0.1/; curl -s -m 2 http://{HOST4}/; echo $?; busybox ip -o addr"
    )
    done = place.moby("run", "--rm", "--runtime", runtime, "--network", "none", "tools", "sh", "-c", script)
    lines = done.stdout.splitlines()
    assert lines[:2] == ["own", "7"]
    assert all(" lo " in f"{line} " for line in lines[2:]), done.stdout


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_published_ports_mean_nothing_there(place: Place, runtime: str) -> None:
    for mode in ("host", "none"):
        words = ("run", "--rm", "--runtime", runtime, "--network", mode, "-p", "80", "tools", "sh", "-c", ":")
        done = place.moby(*words)
        assert done.stderr == f"warning: Published ports are discarded when using {mode} network mode\n"


@pytest.mark.parametrize(
    ("network", "refusal"),
    [
        (
            "bridge",
            "missing   network/bridge        an ordinary user may not make bridges in the host's network\n"
            "          why: its networks are bridges in the host's network\n"
            "          hint: use network/pasta\n",
        ),
        (
            "cni",
            "missing   network/cni           running as user 12345, not as root\n"
            "          why: network namespaces and bridges\n"
            "          hint: sudo moby-py ...\n",
        ),
        (
            "netavark",
            "missing   network/netavark      running as user 12345, not as root\n"
            "          why: netavark makes bridges and iptables rules\n"
            "          hint: sudo moby-py ...\n",
        ),
        (
            "macvlan",
            "missing   network/macvlan       running as user 12345, not as root\n"
            "          why: macvlan interfaces\n"
            "          hint: sudo moby-py ...\n",
        ),
        (
            "remote",
            "missing   network/remote        running as user 12345, not as root\n"
            "          why: it moves interfaces into containers\n"
            "          hint: sudo moby-py ...\n",
        ),
    ],
)
def test_what_an_ordinary_user_cannot_have_is_refused_by_check(network: str, refusal: str) -> None:
    blueprint = BLUEPRINTS / "quickstart.yaml"
    argv = [*ORDINARY, sys.executable, "-m", "moby_py", "check", str(blueprint)]
    done = subprocess.run(
        [*argv, "--set", f"components.network={network}"],
        env={**os.environ, "HOME": "/tmp"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 3
    assert refusal in done.stdout
