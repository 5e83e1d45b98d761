"""`moby-py logs` over rotations of the daemon's log."""

from __future__ import annotations

import logging
import logging.handlers
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from moby_py.cli.logs import logs


class Built:
    name = "shop"
    directory = "out"

    def __init__(self, log_file: Path) -> None:
        self.log_file = log_file


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "daemon.log"
    monkeypatch.setattr("moby_py.platform.load", lambda *_, **__: Built(file))
    return file


def test_the_tail_reaches_back_over_a_rotation(log: Path) -> None:
    log.with_name("daemon.log.2").write_text("1\n2\n")
    log.with_name("daemon.log.1").write_text("3\n4\n")
    log.write_text("5\n")
    for count, wanted in ((1, "5\n"), (3, "3\n4\n5\n"), (99, "1\n2\n3\n4\n5\n"), (0, "")):
        assert CliRunner().invoke(logs, ["-n", str(count), "out"]).output == wanted


_FOLLOW = """
import sys
from pathlib import Path
from moby_py.cli.logs import _follow
log = Path(sys.argv[1])
_follow(log.open(encoding="utf-8"), log)
"""


def test_follow_goes_on_over_rotations(tmp_path: Path) -> None:
    """The handler is the one that the daemon uses; it rotates every few lines."""
    log = tmp_path / "daemon.log"
    handler = logging.handlers.RotatingFileHandler(log, maxBytes=400, backupCount=3)
    argv = [sys.executable, "-u", "-c", _FOLLOW, str(log)]
    seen: list[str] = []
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = process.stdout
        reader = threading.Thread(target=lambda: seen.extend(line.strip() for line in lines))
        reader.start()
        try:
            for number in range(60):
                handler.emit(logging.LogRecord("x", 20, "", 0, f"line {number:03d}", (), None))
                time.sleep(0.02)
            deadline = time.monotonic() + 10
            while len(seen) < 60 and time.monotonic() < deadline:
                time.sleep(0.05)
        finally:
            process.kill()
            reader.join()
    handler.close()
    assert log.with_name("daemon.log.1").exists()
    assert seen == [f"line {number:03d}" for number in range(60)]
