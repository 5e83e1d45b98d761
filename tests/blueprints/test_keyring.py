"""A container has a session keyring of its own: the daemon's may hold keys of whoever started it, and
the default seccomp profile lets containers call keyctl(2)."""

from __future__ import annotations

import ctypes
import platform as machine
import subprocess
import sys
from pathlib import Path

import pytest

from support.archive import BUSYBOX, busybox_archive
from support.platform import platform

PYTHON = Path("/usr/bin/python3")
pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(machine.machine() != "x86_64", reason="knows keyctl's number on x86_64 only"),
    pytest.mark.skipif(not PYTHON.exists(), reason=f"needs {PYTHON}"),
]
KEYCTL, GET_KEYRING_ID, SESSION = 250, 0, -3
ASK = f"import ctypes; print(ctypes.CDLL(None).syscall({KEYCTL}, {GET_KEYRING_ID}, {SESSION}, 0))"


@pytest.mark.parametrize("runtime", ["bubblewrap", "runc"])
def test_no_container_has_the_keyring_of_the_daemon(runtime: str, tmp_path: Path) -> None:
    mine = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True).stdout
    if int(mine) < 0 and ctypes.CDLL(None).syscall(KEYCTL, GET_KEYRING_ID, SESSION, 1) < 0:
        pytest.skip("this kernel has no keyrings, or forbids them here")
    with platform(sets=[f"components.runtime={runtime}"]) as moby:
        moby("load", input=busybox_archive(tmp_path).read_bytes())
        inside = ["chroot", "/host", str(PYTHON), "-c", ASK]
        moby("run", "-d", "--name", "stays", "-v", "/:/host:ro", BUSYBOX, "sleep", "60")
        found = [moby("run", "--rm", "-v", "/:/host:ro", BUSYBOX, *inside).stdout for _ in range(2)]
        found.append(moby("exec", "stays", *inside).stdout)
        assert all(int(text) > 0 for text in found)
        assert len({mine, *found}) == 4
