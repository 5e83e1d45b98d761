"""Volumes of an ordinary user's platform: what needs no root, and what is said where it would."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.archive import BUSYBOX, busybox_archive
from support.platform import TestPlatform, platform

pytestmark = pytest.mark.root  # to become somebody else
UID = 54322
USER = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--no-new-privs")


@pytest.fixture(scope="module")
def moby(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestPlatform]:
    with platform("quickstart.yaml", user=USER, uid=UID, env={"USER": "nobody"}) as running:
        archive = busybox_archive(tmp_path_factory.mktemp("archive"))
        shutil.copy(archive, running.base / "busybox.tar")
        running("load", "-i", str(running.base / "busybox.tar"))
        yield running


def tar(*members: tuple[str, bytes, int]) -> bytes:
    """(name, type, owner) each."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for name, kind, owner in members:
            info = tarfile.TarInfo(name)
            info.type, info.uid, info.gid, info.devmajor, info.devminor = kind, owner, owner, 1, 3
            made.addfile(info)
    return out.getvalue()


def test_mounts(moby: TestPlatform) -> None:
    host = moby.base / "host"
    moby("run", "--rm", "-v", f"{host}:/b", BUSYBOX, "sh", "-c", "mkdir /b/d; echo x > /b/d/f")
    assert host.stat().st_uid == UID
    out = moby(
        *("run", "--rm", "-v", f"{host}:/r:ro", "-v", "data:/v", "--tmpfs", "/t:size=1m"),
        *("--mount", f"type=image,source={BUSYBOX},target=/tool", BUSYBOX),
        *("sh", "-c", "cat /r/d/f; touch /r/x; touch /v/x /t/x; ls /tool/bin/busybox"),
        check=False,
    )
    assert out.stdout == "x\n/tool/bin/busybox\n"
    assert "Read-only file system" in out.stderr
    part = "type=volume,source=data,target=/s,volume-subpath=x"
    assert moby("run", "--rm", "--mount", part, BUSYBOX, "ls", "/s").stdout == "/s\n"
    moby("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m", "ram")
    script = "mount | grep -c ' /ram '"
    assert moby("run", "--rm", "-v", "ram:/ram", BUSYBOX, "sh", "-c", script).stdout == "1\n"
    moby("volume", "rm", "data", "ram")


def test_imports_and_clones(moby: TestPlatform) -> None:
    """Owners that the user has not become its own; a device cannot be made, and is refused."""
    moby("volume", "import", "data", input=tar(("f", tarfile.REGTYPE, 33), ("p", tarfile.FIFOTYPE, 0)))
    folder = Path(moby.state / "volume/local/data/_data")
    assert (folder / "f").stat().st_uid == UID
    assert (folder / "p").is_fifo()
    said = moby("volume", "import", "devices", input=tar(("null", tarfile.CHRTYPE, 0)), check=False).stderr
    why = "'null' is a device node, which this platform may not make"
    assert f"import devices: cannot unpack the archive - {why}" in said
    moby("volume", "clone", "data", "twin")
    exported = moby.base / "twin.tar"
    moby("volume", "export", "-o", str(exported), "twin")
    with tarfile.open(exported) as read:
        assert read.getnames() == [".", "./f", "./p"]
    assert moby("volume", "ls", "-q").stdout == "data\ntwin\n"
    moby("volume", "rm", "data", "twin")
