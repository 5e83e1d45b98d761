"""The daemon is killed while volumes are made, filled, copied and removed: each is whole, or not there."""

from __future__ import annotations

import io
import os
import random
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from support.archive import BUSYBOX, busybox_archive
from support.platform import TestPlatform, platform

pytestmark = pytest.mark.root
SIZE = 4 << 20
FILES = 8


def archive(path: Path) -> Path:
    with tarfile.open(path, mode="w") as made:
        for number in range(FILES):
            info = tarfile.TarInfo(f"d/{number}")
            info.size = SIZE
            made.addfile(info, io.BytesIO(os.urandom(SIZE)))
    return path


def settled(root: Path) -> list[str]:
    """What is in the driver's folder once its sweep is done."""
    for _ in range(200):
        found = sorted(path.name for path in root.iterdir())
        if not [name for name in found if name.startswith(".")]:
            return found
        time.sleep(0.05)
    return found


def whole(moby: TestPlatform, name: str) -> bool:
    folder = moby.state / "volume/local" / name / "_data"
    return [path.stat().st_size for path in sorted(folder.glob("d/*"))] == [SIZE] * FILES


def test_kills_in_the_middle(tmp_path: Path) -> None:
    data = archive(tmp_path / "data.tar")
    with platform("runc.yaml") as moby:
        root = moby.state / "volume/local"
        moby("volume", "import", "source", str(data))
        for round in range(6):
            word = ("import", "clone")[round % 2]
            args = (
                ("import", f"new{round}", str(data))
                if word == "import"
                else ("clone", "source", f"new{round}")
            )
            client = subprocess.Popen(
                moby.command("volume", *args),
                env=moby.env,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            time.sleep(random.uniform(0.1, 0.4))
            moby.kill_daemon()
            client.wait(30)
            moby.up()
            known = moby.docker("volume", "ls", "-q").stdout.split()
            assert settled(root) == known
            assert all(whole(moby, name) for name in known), (round, known)
        assert "source" in known


def test_an_import_that_stalls_when_the_daemon_is_killed(tmp_path: Path) -> None:
    data = archive(tmp_path / "data.tar").read_bytes()
    with platform("runc.yaml") as moby:
        moby.docker("volume", "create", "empty")
        for name in ("empty", "fresh"):
            client = subprocess.Popen(
                moby.command("volume", "import", name), env=moby.env, stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            assert client.stdin is not None
            client.stdin.write(data[: len(data) // 2])
            client.stdin.flush()
            root = moby.state / "volume/local"
            for _ in range(200):
                if list(root.glob(".going-*/_data/d/*")):
                    break
                time.sleep(0.02)
            else:
                raise AssertionError("the import never began")
            moby.kill_daemon()
            client.stdin.close()
            client.wait(30)
            moby.up()
            assert moby.docker("volume", "ls", "-q").stdout == "empty\n"
            assert settled(root) == ["empty"]
            assert list((root / "empty/_data").iterdir()) == []
        moby("volume", "import", "empty", input=data)
        assert whole(moby, "empty")


def test_removals_and_containers_when_the_daemon_is_killed(tmp_path: Path) -> None:
    image = busybox_archive(tmp_path)
    with platform("runc.yaml") as moby:
        moby.docker("load", "-i", str(image))
        root = moby.state / "volume/local"
        for round in range(4):
            moby.docker("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", f"ram{round}")
            words = (
                ["run", "--rm", "-v", f"ram{round}:/r", "-v", "kept:/k", "-v", "/anon", BUSYBOX, "true"],
                ["rm", "-v", "-f", f"c{round}"],
            )
            moby.docker(
                "run",
                "-d",
                "--name",
                f"c{round}",
                "-v",
                f"ram{round}:/r",
                "-v",
                "/anon",
                BUSYBOX,
                "sleep",
                "60",
            )
            client = subprocess.Popen(
                ["docker", *words[round % 2]],
                env=moby.env,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            time.sleep(random.uniform(0.05, 0.35))
            moby.kill_daemon()
            client.wait(30)
            moby.up()
            known = moby.docker("volume", "ls", "-q").stdout.split()
            assert [name for name in settled(root) if name not in known] == []
            ids = moby.docker("ps", "-aq").stdout.split()
            if ids:
                moby.docker("rm", "-f", "-v", *ids)
            mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
            assert [path for path in mounted if path.startswith(str(root))] == []
            moby.docker("volume", "prune", "-f", "--all")
            assert settled(root) == []
