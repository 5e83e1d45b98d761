"""`docker run --log-driver journald` on a real platform and a real journal."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from support.archive import BUSYBOX, busybox_archive
from support.journal import journal
from support.platform import platform

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]
BLUEPRINT = """\
blueprint: 1
name: journal
components:
  runtime: crun
  image_store: overlay
  network: none
  engine:
    use: moby
    with: {{log_driver: journald, log_options: {{tag: "shop/{{{{.Name}}}}"}}, journal_socket: {socket}}}
"""


def test_a_platform_whose_logs_go_to_the_journal(tmp_path: Path) -> None:
    with journal() as there, platform(BLUEPRINT.format(socket=there.socket)) as moby:
        moby("load", "-i", str(busybox_archive(tmp_path)))
        assert moby.docker("info", "-f", "{{.LoggingDriver}}").stdout == "journald\n"
        script = "for n in 1 2 3; do echo line $n; done; echo wrong >&2"
        moby.docker("run", "--name", "web", BUSYBOX, "sh", "-c", script)
        deadline = time.monotonic() + 20
        while len(found := there.entries("CONTAINER_NAME=web")) < 4:
            assert time.monotonic() < deadline, found
            time.sleep(0.1)
        lines = {entry["MESSAGE"]: entry["PRIORITY"] for entry in found}
        assert lines == {"line 1": "6", "line 2": "6", "line 3": "6", "wrong": "3"}
        assert {entry["CONTAINER_TAG"] for entry in found} == {"shop/web"}
        said = moby.docker("logs", "web")
        assert (said.stdout, said.stderr) == ("line 1\nline 2\nline 3\n", "wrong\n")
        config = moby.docker("inspect", "-f", "{{json .HostConfig.LogConfig}}", "web").stdout
        assert config == '{"Type":"journald","Config":{"tag":"shop/{{.Name}}"}}\n'
        there.stop()
        done = moby.docker("run", "--rm", BUSYBOX, "true", check=False)
        assert "failed to initialize logging driver: journald is not enabled on this host" in done.stderr
        moby.docker("rm", "web")
