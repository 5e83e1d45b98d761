"""Another runtime under the same containers: same ids, names, volumes and data (design section 7)."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.archive import BUSYBOX, busybox_archive
from support.platform import BLUEPRINTS, TestPlatform, leftovers, platform, take_down

pytestmark = pytest.mark.root
SCRIPT = "echo run >> /data/f; echo run >> /inside; exec sleep 600"


@pytest.fixture
def moby(tmp_path: Path) -> Iterator[TestPlatform]:
    with platform("quickstart.yaml", sets=["components.runtime=crun"], check_leaks=False) as made:
        shutil.copy(busybox_archive(tmp_path), made.base / "busybox.tar")
        made("load", "-i", str(made.base / "busybox.tar"))
        yield made
        take_down(made)
        assert leftovers(made) == []


def rebuild(moby: TestPlatform, runtimes: str) -> None:
    sets = (f"name={moby.name}", f"components.runtime={runtimes}")
    options = [text for item in sets for text in ("--set", item)]
    moby.moby("build", str(BLUEPRINTS / "quickstart.yaml"), "-o", str(moby.out), *options)


def listed(moby: TestPlatform) -> list[str]:
    return moby.docker("ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}}").stdout.split("\n")


def runtime_of(moby: TestPlatform, name: str) -> str:
    return moby.docker("inspect", "-f", "{{.HostConfig.Runtime}}", name).stdout.strip()


def test_containers_and_their_data_move_to_another_runtime_and_back(moby: TestPlatform) -> None:
    # --stop-signal: sleep as process 1 ignores SIGTERM, and nobody here wants to wait for the grace.
    keep = ("--restart", "unless-stopped", "--stop-signal", "KILL", "-v", "data:/data")
    moby.docker("run", "-d", "--name", "live", *keep, BUSYBOX, "sh", "-c", SCRIPT)
    moby.docker(
        "run", "--name", "dead", "-v", "data:/data", BUSYBOX, "sh", "-c", "echo x > /own", check=False
    )
    before = listed(moby)
    for count, runtime in enumerate(("runsc", "bubblewrap", "runc", "crun"), start=2):
        moby.down()
        rebuild(moby, runtime)
        moby.up()
        assert listed(moby) == before
        show = ("wc", "-l", "/data/f", "/inside")
        # `up` starts what the policy says, in the background
        moby.docker("start", "live")
        assert moby.docker("exec", "live", *show).stdout.split()[::2][:2] == [str(count)] * 2
        assert runtime_of(moby, "live") == runtime
        assert moby.docker("start", "-a", "dead").returncode == 0
        assert runtime_of(moby, "dead") == runtime
    assert moby.docker("diff", "dead").stdout == "A /own\n"


def test_a_runtime_asked_for_by_name_is_not_replaced(moby: TestPlatform) -> None:
    moby.docker("create", "--name", "asked", "--runtime", "crun", BUSYBOX, "true")
    moby.down()
    rebuild(moby, "bubblewrap")
    moby.up()
    refused = moby.docker("start", "asked", check=False)
    assert refused.returncode == 1
    assert "unknown or invalid runtime name: crun\nhint: this platform has bubblewrap" in refused.stderr, (
        refused.stderr
    )
    rebuild(moby, "[bubblewrap, crun]")
    moby.down()
    moby.up()
    assert moby.docker("start", "-a", "asked").returncode == 0


def test_what_still_runs_on_a_runtime_that_is_gone_keeps_up_from_starting(moby: TestPlatform) -> None:
    """Else its layer and volumes would be used twice, by it and by its next start."""
    moby.docker("run", "-d", "--name", "live", "-v", "data:/data", BUSYBOX, "sh", "-c", SCRIPT)
    moby.down("--keep-containers")
    rebuild(moby, "bubblewrap")
    refused = moby.moby("up", "-d", str(moby.out), check=False)
    assert refused.returncode == 3
    assert refused.stderr == (
        "error: containers still run on a runtime that the blueprint no longer has - live on crun\n"
        "hint: write `runtime: [bubblewrap, crun]`, build and start again; "
        "or first stop them under the old blueprint\n"
    )
    rebuild(moby, "[bubblewrap, crun]")
    moby.up()
    assert moby.docker("exec", "live", "cat", "/data/f").stdout == "run\n"
    pid = int(moby.docker("inspect", "-f", "{{.State.Pid}}", "live").stdout)
    moby.down("--keep-containers")
    handle = os.pidfd_open(pid)
    signal.pidfd_send_signal(handle, signal.SIGKILL)
    os.close(handle)
    rebuild(moby, "bubblewrap")
    moby.up()
    assert moby.docker("inspect", "-f", "{{.State.ExitCode}}", "live").stdout == "137\n"
    moby.docker("start", "live")
    assert moby.docker("exec", "live", "cat", "/data/f", "/inside").stdout == "run\n" * 4
