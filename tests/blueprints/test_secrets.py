"""A secret is a file inside its container and nowhere else (issue 1, line 6)."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.archive import BUSYBOX, busybox_archive
from support.platform import TestPlatform, platform

pytestmark = pytest.mark.root
RUNTIMES = ("bubblewrap", "runc", "crun", "runsc")
VALUE = "s3cret-" + "7f3a" * 9


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return busybox_archive(tmp_path_factory.mktemp("archive"))


@pytest.fixture(scope="module", params=RUNTIMES)
def moby(request: pytest.FixtureRequest, archive: Path) -> Iterator[TestPlatform]:
    if request.param != "bubblewrap" and not shutil.which(request.param, path="/usr/sbin:/usr/bin"):
        pytest.skip(f"needs {request.param}")
    with platform("quickstart.yaml", sets=[f"components.runtime={request.param}"]) as running:
        running("load", "-i", str(archive))
        running("secret", "create", "db_password", "-", input=VALUE)
        yield running
        running("secret", "rm", "db_password")


def files_with(value: bytes, *roots: Path) -> list[str]:
    found = []
    for root in roots:
        for path in root.rglob("*"):
            with contextlib.suppress(OSError):
                if stat.S_ISREG(path.lstat().st_mode) and value in path.read_bytes():
                    found.append(str(path))
    return found


def processes_with(value: bytes) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            for name in ("cmdline", "environ"):
                with contextlib.suppress(OSError):
                    if value in (entry / name).read_bytes():
                        found.append(f"{entry}/{name}")
    return found


def test_it_is_a_private_file_inside(moby: TestPlatform) -> None:
    run = ("run", "--rm", "--secret", "db_password", BUSYBOX, "sh", "-c")
    out = moby(*run, "cat /run/secrets/db_password; stat -c ' %a %u' /run/secrets/db_password").stdout
    assert out.split() == [VALUE, "400", "0"]
    refused = moby(*run, "echo x > /run/secrets/db_password", check=False)
    assert refused.returncode != 0


def test_it_belongs_to_the_containers_user_and_to_nobody_else(moby: TestPlatform) -> None:
    run = ("run", "--rm", "-u", "user", "--secret", "db_password", BUSYBOX)
    assert moby(*run, "cat", "/run/secrets/db_password").stdout == VALUE


def test_the_stock_docker_client_can_ask_for_it(moby: TestPlatform) -> None:
    mount = "type=secret,src=db_password,dst=/run/secrets/other"
    assert moby.docker("run", "--rm", "--mount", mount, BUSYBOX, "cat", "/run/secrets/other").stdout == VALUE


def test_a_missing_secret_is_named(moby: TestPlatform) -> None:
    done = moby("run", "--rm", "--secret", "not-there", BUSYBOX, "true", check=False)
    assert done.returncode == 125
    assert "not-there" in done.stderr
    assert moby("ps", "-aq").stdout == ""


def test_a_search_finds_it_nowhere(moby: TestPlatform, tmp_path: Path) -> None:
    moby("run", "-d", "--name", "holder", "--secret", "db_password", BUSYBOX, "sleep", "60")
    try:
        assert moby("exec", "holder", "cat", "/run/secrets/db_password").stdout == VALUE
        moby("commit", "holder", "committed:latest")
        shown = [
            moby("inspect", "holder").stdout,
            moby("inspect", "committed:latest").stdout,
            moby("secret", "inspect", "db_password").stdout,
            moby("secret", "ls").stdout,
            moby("logs", "holder").stdout,
            moby("history", "committed:latest").stdout,
        ]
        assert [text for text in shown if VALUE in text] == []
        assert files_with(VALUE.encode(), moby.out, moby.state, moby.run_dir) == []
        assert processes_with(VALUE.encode()) == []
        moby("save", "-o", str(tmp_path / "image.tar"), "committed:latest")
        assert not archive_holds(tmp_path / "image.tar", VALUE.encode())
    finally:
        moby("rm", "-f", "holder")
        moby("rmi", "committed:latest", check=False)


def archive_holds(path: Path, value: bytes) -> bool:
    """In any member, unpacked as far as gzip goes."""
    import gzip

    with tarfile.open(path) as tar:
        for member in tar:
            file = tar.extractfile(member)
            if file:
                data = file.read()
                if value in data or (data[:2] == b"\x1f\x8b" and value in gzip.decompress(data)):
                    return True
    return False
