"""Start Python as an ordinary user, whoever runs the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

UID = 12345


def user_dir(tmp_path: Path) -> Path:
    """A directory of the ordinary user, who can also reach it."""
    if os.geteuid() != 0:
        return tmp_path
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_mode & 0o005 != 0o005 and parent.owner() == "root" and str(parent) != "/":
            parent.chmod(parent.stat().st_mode | 0o011)
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, UID, UID)
    return home


def command(argv: list[str], uid: int = UID) -> list[str]:
    if os.geteuid() != 0:
        return argv
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--", *argv]


def run(
    code: str, *args: str, home: Path, env: Mapping[str, str] | None = None, uid: int = UID
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
        timeout=60,
        cwd=home,
        env=environment,
    )
