"""What a user is told who asks for what is taken or not there: Docker's words, and a way out that helps."""

from __future__ import annotations

import re
import socket

import pytest

from support.lab import lab
from support.platform import platform

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]
SETS = ("components.runtime=[crun]", "components.network=bridge")


def test_a_refusal_says_who_has_it_and_what_there_is() -> None:
    with lab() as here, platform("quickstart.yaml", sets=SETS, user=here.prefix) as moby:
        moby("image", "from-host", "-t", "tools", "sh", "sleep")
        moby("network", "create", "back")
        for name, more in (("one", ("-p", "8080:80")), ("two", ())):
            moby("run", "-d", "--name", name, "--network", "back", *more, "tools", "sleep", "600")

        def refused(*words: str) -> str:
            done = moby(*words, check=False)
            assert done.returncode != 0
            return re.sub(r"\(?\b[0-9a-f]{12,64}\b\)?", "ID", done.stderr).strip()

        run = ("run", "--rm", "--name", "three")
        lead = "error: driver failed programming external connectivity on endpoint three ID: "
        assert refused(*run, "-p", "8080:80", "tools", "true") == (
            f"{lead}Bind for 0.0.0.0:8080 failed: port is already allocated\n"
            "hint: container one publishes it; choose another port or stop that one"
        )
        other = here.inside(lambda: socket.create_server(("127.0.0.1", 8081)))
        with other:
            assert re.sub(r"10\.[\d.]+", "IP", refused(*run, "-p", "127.0.0.1:8081:80", "tools", "true")) == (
                f"{lead}failed to bind host port for 127.0.0.1:8081:IP:80/tcp: address already in use\n"
                "hint: another program of this host has it: ss -lntp shows which"
            )
        assert refused("network", "create", "-d", "weave", "far") == (
            'error: error looking up plugin weave: plugin "weave" not found\n'
            "hint: this platform's network drivers: bridge"
        )
        assert refused("network", "rm", "back") == (
            "error: error while removing network: network back has active endpoints "
            '(name:"one" id:"ID", name:"two" id:"ID")\n'
            "hint: docker network disconnect back one"
        )
        moby("rm", "-f", "one", "two")
