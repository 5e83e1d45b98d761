"""Start Python as an ordinary user, whoever runs the tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

UID = 12345


@contextlib.contextmanager
def user_dir() -> Iterator[Path]:
    """A directory of the ordinary user, short-named, gone afterwards. Not below pytest's own, which
    any other run of pytest as root closes to everybody else."""
    home = Path(tempfile.mkdtemp(prefix="moby-test-", dir="/tmp"))
    if os.geteuid() == 0:
        os.chown(home, UID, UID)
    try:
        yield home
    finally:
        shutil.rmtree(home)


def command(argv: list[str], uid: int = UID) -> list[str]:
    if os.geteuid() != 0:
        return argv
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--", *argv]


def run(
    code: str,
    *args: str,
    home: Path,
    env: Mapping[str, str] | None = None,
    uid: int = UID,
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run Python code as the ordinary user; PATH and HOME are its only environment."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONDONTWRITEBYTECODE": "1",
        **(env or {}),
    }
    return subprocess.run(
        command([sys.executable, "-c", code, *args], uid),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        cwd=home,
        env=environment,
    )


def run_with_ranges(
    code: str, *args: str, home: Path, files: Path, subuid: str, subgid: str, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """The same for a user with subordinate ids, named moby-test: root binds files of its own over
    /etc/passwd, group, subuid and subgid, in a mount namespace that only this process sees."""
    texts = {
        "passwd": Path("/etc/passwd").read_text() + f"moby-test:x:{UID}:{UID}::{home}:/bin/sh\n",
        "group": Path("/etc/group").read_text() + f"moby-test:x:{UID}:\n",
        "subuid": subuid,
        "subgid": subgid,
    }
    script = ""
    for name, text in texts.items():
        (files / name).write_text(text)
        script += f"[ -e /etc/{name} ] || : > /etc/{name}; mount --bind {files}/{name} /etc/{name} && "
    argv = command([sys.executable, "-c", code, *args])
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", script + 'exec "$@"', "sh", *argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        cwd=home,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"},
    )
