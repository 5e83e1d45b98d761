"""A real systemd-journald of the test's own: a journal namespace, started and removed by hand.

https://www.freedesktop.org/software/systemd/man/systemd-journald.service.html (journal namespaces)
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

JOURNALD = Path("/lib/systemd/systemd-journald")


@dataclass
class Journal:
    namespace: str
    process: subprocess.Popen[bytes]

    @property
    def socket(self) -> Path:
        return Path(f"/run/systemd/journal.{self.namespace}/socket")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)

    def entries(self, *match: str) -> list[dict[str, Any]]:
        """What it has of these fields, oldest first."""
        argv = ["journalctl", f"--namespace={self.namespace}", "-o", "json", "--no-pager", "-q", *match]
        done = subprocess.run(argv, capture_output=True, check=True, timeout=20)
        return [json.loads(line) for line in done.stdout.splitlines()]


def start_journal(namespace: str) -> Journal:
    made = Journal(
        namespace,
        subprocess.Popen([str(JOURNALD), namespace], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL),
    )
    deadline = time.monotonic() + 20
    while not made.socket.is_socket():
        assert made.process.poll() is None, "systemd-journald ended at once"
        assert time.monotonic() < deadline, "systemd-journald does not listen"
        time.sleep(0.02)
    return made


@contextlib.contextmanager
def journal() -> Iterator[Journal]:
    if os.geteuid() or not JOURNALD.exists():
        pytest.skip("needs root and systemd-journald (apt-get install systemd)")
    namespace = f"mp{os.getpid()}"
    made = start_journal(namespace)
    try:
        yield made
    finally:
        with contextlib.suppress(ProcessLookupError):
            made.stop()
        shutil.rmtree(f"/run/systemd/journal.{namespace}", ignore_errors=True)
        for folder in (
            *Path("/var/log/journal").glob(f"*.{namespace}"),
            *Path("/run/log/journal").glob(f"*.{namespace}"),
        ):
            shutil.rmtree(folder, ignore_errors=True)
