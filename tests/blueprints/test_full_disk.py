"""A platform whose disk is full: clear errors, nothing half-made kept, and it serves on."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.archive import BUSYBOX, busybox_archive
from support.platform import TestPlatform, leftovers, platform, take_down

pytestmark = pytest.mark.root  # mounts a small file system

FILL = "dd if=/dev/urandom of=/f bs=1M count=40 2>/dev/null; echo full $?"


@pytest.fixture
def moby(tmp_path: Path) -> Iterator[TestPlatform]:
    with platform("quickstart.yaml", start=False, check_leaks=False) as small:
        state = small.base / "state"
        state.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(state)], check=True)
        small.up()
        shutil.copy(busybox_archive(tmp_path), small.base / "busybox.tar")
        small.docker("load", "-i", str(small.base / "busybox.tar"))
        yield small
        take_down(small)
        subprocess.run(["umount", str(state)], check=True)
        assert leftovers(small) == []


def test_a_container_that_fills_the_disk_ends_and_can_be_removed(moby: TestPlatform) -> None:
    assert moby.docker("run", "--name", "greedy", BUSYBOX, "sh", "-c", FILL).stdout == "full 1\n"
    assert (
        moby.docker("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "greedy").stdout == "exited 0\n"
    )
    images = moby.docker("images", "-q").stdout
    for words in (
        ("import", str(moby.base / "busybox.tar"), "more"),
        ("load", "-i", str(moby.base / "busybox.tar")),
        ("commit", "greedy", "kept"),
        ("run", "--rm", BUSYBOX, "sh", "-c", "echo > /g"),
    ):
        refused = moby.docker(*words, check=False)
        if refused.returncode:  # what a few free blocks still let through is no failure
            assert "full" in refused.stderr or "o space left on device" in refused.stderr, refused.stderr
            assert "Error:" not in refused.stderr.replace("Error response", "")
    assert moby.docker("import", str(moby.base / "busybox.tar"), "more", check=False).returncode == 1
    assert moby.docker("images", "-q").stdout == images
    moby.docker("rm", "-f", "greedy")
    assert moby.docker("run", "--rm", BUSYBOX, "echo", "serves on").stdout == "serves on\n"
    assert "Traceback" not in (moby.state / "daemon.log").read_text()


def test_it_starts_again_on_a_full_disk(moby: TestPlatform) -> None:
    """The end of a container is known after `down` and `up`, though nothing could be written before."""
    moby.docker("run", "--name", "greedy", BUSYBOX, "sh", "-c", f"{FILL}; exit 3", check=False)
    subprocess.run(["sh", "-c", f"cat /dev/zero > {moby.base}/state/rest"], check=False, capture_output=True)
    moby.down()
    moby.up()
    assert (
        moby.docker("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "greedy").stdout == "exited 3\n"
    )
    moby.docker("rm", "greedy")
    (moby.base / "state/rest").unlink()
    assert moby.docker("run", "--rm", BUSYBOX, "echo", "serves on").stdout == "serves on\n"
