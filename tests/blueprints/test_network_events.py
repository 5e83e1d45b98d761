"""Events of networks and of what containers do with them, by the stock docker client."""

from __future__ import annotations

import json
import time

import pytest

from support.lab import lab
from support.platform import platform

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]
SETS = ("components.runtime=[crun]", "components.network=bridge")


def test_connect_and_disconnect_are_told_with_both_names() -> None:
    with lab() as here, platform("quickstart.yaml", sets=SETS, user=here.prefix) as moby:
        moby("image", "from-host", "-t", "tools", "sh", "sleep")
        begin = f"{time.time():.6f}"
        network = moby.docker("network", "create", "back").stdout.strip()
        moby.docker("run", "-d", "--name", "web", "tools", "sleep", "600")
        container = moby.docker("inspect", "-f", "{{.Id}}", "web").stdout.strip()
        moby.docker("network", "connect", "back", "web")
        moby.docker("network", "disconnect", "back", "web")
        moby.docker("network", "rm", "back")
        moby.docker("network", "prune", "-f")
        span = ("--since", begin, "--until", f"{time.time():.6f}", "--format", "{{json .}}")

        def told(*filters: str) -> list[tuple[str, str, str]]:
            wanted = [word for text in filters for word in ("--filter", text)]
            found = map(json.loads, moby.docker("events", *span, *wanted).stdout.splitlines())
            return [
                (e["Action"], e["Actor"]["ID"], e["Actor"]["Attributes"].get("container", "")) for e in found
            ]

        of_back = [
            ("create", network, ""),
            ("connect", network, container),
            ("disconnect", network, container),
            ("destroy", network, ""),
        ]
        assert told("network=back") == of_back
        assert told(f"network={network[:12]}", "type=network") == of_back
        assert [event[0] for event in told("type=network", "event=prune")] == ["prune"]
        assert told("network=back", "event=connect") == of_back[1:2]
        # A client that stays to the end has not detached.
        moby.docker("run", "--rm", "--name", "short", "tools", "sh", "-c", ":")
        late = ("--since", begin, "--until", f"{time.time():.6f}", "--format", "{{.Action}}")
        short = moby.docker("events", *late, "--filter", "container=short").stdout.split()
        assert short == ["create", "attach", "start", "die", "destroy"]
        # The default network: joined at the start.
        assert [event[::2] for event in told("network=bridge")] == [("connect", container)]
        moby.docker("rm", "-f", "web")
