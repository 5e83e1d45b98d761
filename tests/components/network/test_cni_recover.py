"""network/cni over the ends of daemons, sandboxes and hosts: the notes bring everything back or down."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moby_py.model import PortBinding
from support.cni import Rig, id_of, left, rig
from support.worlds import HOST, command, soon

pytestmark = pytest.mark.root

PORT = (PortBinding(container_port=80, host_port=18080),)


def notes(it: Rig) -> list[str]:
    return sorted(p.name for p in (it.root / "state/network/cni/notes").iterdir())


def test_a_second_life_takes_everything_up(tmp_path: Path) -> None:
    """The daemon was killed: names, addresses and ports stay, random ones too, and stay reserved."""
    with rig(tmp_path) as it:

        async def story() -> None:
            default = await it.default()
            made = await it.join("a", default, ports=(*PORT, PortBinding(container_port=81)))
            it.world.serve("a", 80)
            before = it.world.state()
            await it.again()
            assert it.world.state() == before
            assert await soon(lambda: it.world.ask("remote", HOST, 18080)) == b"hello"

            def steal() -> None:
                with socket.socket() as thief:
                    thief.bind(("0.0.0.0", made.ports[1].host_port))

            with pytest.raises(OSError, match="in use"):
                it.world.inside("host", steal)
            assert await it.component.attach(it.endpoints[id_of("a"), default.id].request) == made
            await it.end()
            assert left(it.world) == []
            assert notes(it) == []

        it.world.play(story)


def link_of(it: Rig, container: str) -> str:
    return it.world.inside(container, lambda: command("ip", "-j", "link", "show", "eth0"))


def test_rules_that_are_gone_come_back_without_touching_the_interface(tmp_path: Path) -> None:
    with rig(tmp_path) as it:

        async def story() -> None:
            default = await it.default()
            await it.join("a", default, ports=PORT)
            it.world.serve("a", 80)
            before = link_of(it, "a")
            it.world.inside("host", lambda: command("iptables", "-t", "nat", "-F", "CNI-HOSTPORT-DNAT"))
            await it.again()
            assert link_of(it, "a") == before
            assert await soon(lambda: it.world.ask("remote", HOST, 18080)) == b"hello"
            await it.end()
            assert left(it.world) == []

        it.world.play(story)


def test_what_fails_its_check_is_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with rig(tmp_path) as it:

        async def story() -> None:
            default = await it.default()
            await it.join("a", default, ports=PORT)
            it.world.serve("a", 80)
            it.world.inside("a", lambda: command("ip", "link", "del", "eth0"))
            with caplog.at_level(logging.WARNING):
                await it.again()
            assert "CNI plugin bridge failed to check" in caplog.text
            assert "its place on the network is made anew" in caplog.text
            assert await soon(lambda: it.world.ask("remote", HOST, 18080)) == b"hello"
            assert routes(it, "a") == ["default via 10.71.0.1"]
            await it.end()
            assert left(it.world) == []

        it.world.play(story)


def test_a_reload_of_the_hosts_firewall(tmp_path: Path) -> None:
    """All rules and chains are gone: leaving works all the same, and so does coming back."""
    with rig(tmp_path) as it:

        async def story() -> None:
            default = await it.default()
            await it.join("a", default, ports=PORT)
            for flag in ("-F", "-X"):
                for table in ("nat", "filter"):
                    it.world.inside("host", lambda t=table, f=flag: command("iptables", "-t", t, f))  # type: ignore[misc]
            await it.leave("a", default)
            assert notes(it) == []
            await it.join("a", default, ports=PORT)
            it.world.serve("a", 80)
            assert await soon(lambda: it.world.ask("remote", HOST, 18080)) == b"hello"
            await it.end()
            assert left(it.world) == []

        it.world.play(story)


def routes(it: Rig, container: str) -> list[str]:
    shown = it.world.inside(container, lambda: command("ip", "route"))
    return [line.split(" dev")[0] for line in shown.splitlines() if line.startswith("default")]


def test_a_stack_of_its_own_takes_the_addresses_away(tmp_path: Path) -> None:
    """gVisor does, when it starts: CHECK must not take that for damage, and DEL still undoes all."""
    with rig(tmp_path) as it:

        async def story() -> None:
            app = await it.network("app", six="fd00:72::/64")
            await it.join("a", app, "10.72.0.9", "fd00:72::9/64", ports=PORT, own_stack=True)
            it.world.inside("a", lambda: command("ip", "addr", "flush", "dev", "eth0"))
            before = link_of(it, "a")
            it.world.inside("host", lambda: command("iptables", "-t", "nat", "-F", "CNI-HOSTPORT-DNAT"))
            await it.again()
            assert link_of(it, "a") == before
            rules = it.world.inside("host", lambda: command("iptables", "-t", "nat", "-S"))
            assert "-A CNI-HOSTPORT-DNAT" in rules
            await it.end()
            assert left(it.world) == []

        it.world.play(story)


def test_a_default_route_that_moved_is_no_damage(tmp_path: Path) -> None:
    """The engine moves default routes; CHECK must not take that for a fault and cut connections."""
    with rig(tmp_path) as it:

        async def story() -> None:
            default = await it.default()
            await it.join("a", default)
            before = link_of(it, "a")
            it.world.inside("a", lambda: command("ip", "route", "del", "default"))
            await it.again()
            assert link_of(it, "a") == before
            assert routes(it, "a") == []
            await it.end()

        it.world.play(story)


def test_what_belongs_to_nobody_is_taken_down(tmp_path: Path) -> None:
    """Killed between ADD and the engine's record; and a network that is no more."""
    with rig(tmp_path) as it:

        async def story() -> None:
            default = await it.default()
            app = await it.network("app")
            await it.join("a", default, ports=PORT)
            await it.join("b", app, ports=[PortBinding(container_port=80)])
            it.endpoints.clear()
            del it.records["app"]
            await it.again()
            assert notes(it) == []
            files = [p.stem for p in (it.root / "state/network/cni/networks").iterdir()]
            assert files == [default.id]
            await it.end()
            assert left(it.world) == []

        it.world.play(story)


def test_a_sandbox_that_is_gone_leaves_no_rule(tmp_path: Path) -> None:
    """The plugins find their rules by what is in the sandbox: a stand-in for it says the same."""
    with rig(tmp_path) as it:

        async def story() -> None:
            default = await it.default()
            await it.join("a", default, ports=PORT)
            await it.join("b", default, ports=[PortBinding(container_port=80, host_port=18081)])
            it.world.drop("a")
            await it.leave("a", default)
            # A new sandbox at the old path, and nobody said that the old one went:
            request = it.endpoints[id_of("b"), default.id].request
            it.world.drop("b")
            it.world.make("b")
            await it.component.attach(request)
            assert routes(it, "b") == ["default via 10.71.0.1"]
            await it.end()
            assert left(it.world) == []
            assert notes(it) == []
            assert not list((it.root / "run/network/cni").glob("gone-*"))

        it.world.play(story)


def test_a_reboot(tmp_path: Path) -> None:
    """Interfaces, rules and run-time files are gone; attach brings the same addresses and ports."""
    with rig(tmp_path) as it:
        made = []

        async def before() -> None:
            default = await it.default()
            made.append(await it.join("a", default, ports=PORT))
            await it.killed()

        it.world.play(before)
        request = next(iter(it.endpoints.values())).request
        shutil.rmtree(it.root / "run")
    with rig(tmp_path) as after:  # new namespaces: another boot of the same machine

        async def story() -> None:
            default = await after.default()
            await after.component.recover([])
            assert notes(after) == []
            sandbox = replace(request.sandbox, path=after.sandbox("a"))
            attachment = await after.attach(replace(request, network=default, sandbox=sandbox))
            assert attachment == made[0]
            after.world.serve("a", 80)
            assert await soon(lambda: after.world.ask("remote", HOST, 18080)) == b"hello"
            await after.end()
            assert left(after.world) == []

        after.world.play(story)


SLOW = """#!/bin/sh
# The real bridge plugin, after a while: long enough for its daemon to be killed.
[ "$CNI_COMMAND" = ADD ] && echo "$$" > {began} && sleep 2
exec /usr/lib/cni/bridge
"""

DAEMON = """
import asyncio, sys
sys.path[:0] = {path!r}
from pathlib import Path
from support.cni import Cni, Rig
from support.worlds import World
world = World.__new__(World)
world._folder, world._made, world._servers = Path({folder!r}), [], []
it = Rig(world, Path({folder!r}) / "r", Cni, {options!r})

async def main():
    default = await it.default()
    await it.join("a", default)

asyncio.run(main())
"""


def test_killed_in_the_middle_of_an_add(tmp_path: Path) -> None:
    """The plugin outlives its daemon and goes on making things; the next daemon waits for it."""
    plugins, began = tmp_path / "plugins", tmp_path / "began"
    plugins.mkdir()
    (plugins / "bridge").write_text(SLOW.format(began=began))
    (plugins / "bridge").chmod(0o755)
    options: dict[str, Any] = {"plugin_dirs": [str(plugins), "/usr/lib/cni"]}
    with rig(tmp_path, **options) as it:
        it.sandbox("a")
        script = tmp_path / "daemon.py"
        script.write_text(DAEMON.format(path=sys.path, folder=str(tmp_path), options=options))

        async def story() -> None:
            daemon = subprocess.Popen([sys.executable, str(script)])
            await soon(began.exists, timeout=20)
            os.kill(daemon.pid, signal.SIGKILL)
            daemon.wait()
            assert [n for n in notes(it) if n.endswith(".json")] == [f"{id_of('a')}.{id_of('default')}.json"]
            (it.root / "state/network/cni/networks").mkdir(exist_ok=True)
            await it.default()
            await it.component.recover([])
            assert notes(it) == []
            links = json.loads(it.world.inside("a", lambda: command("ip", "-j", "link")))
            assert [x["ifname"] for x in links] == ["lo"]
            await it.end()
            await asyncio.sleep(2.2)  # had it not waited, the plugin would make its things by now
            assert left(it.world) == []

        it.world.play(story)


def test_a_changed_blueprint_takes_down_what_the_old_one_made(tmp_path: Path) -> None:
    """DEL gets the configuration of its ADD, not today's."""
    with rig(tmp_path, chain=[{"type": "bandwidth", "ingressRate": 8000000, "ingressBurst": 8000000}]) as it:

        async def story() -> None:
            default = await it.default()
            await it.join("a", default, ports=PORT)
            it.options = {**it.options, "chain": []}
            await it.again()
            await it.end()
            assert left(it.world) == []

        it.world.play(story)


def test_damaged_notes_stop_nothing(tmp_path: Path) -> None:
    with rig(tmp_path) as it:

        async def story() -> None:
            default = await it.default()
            folder = it.root / "state/network/cni/notes"
            folder.mkdir(exist_ok=True)
            for number, text in enumerate(("", "{", "[]", '{"kind": "moby-py/cni-note/1"}', "null")):
                (folder / f"{number}.json").write_text(text)
            (folder / "x.part").write_text("half")
            await it.component.recover([])
            await it.join("a", default)
            await it.end()
            assert "x.part" not in notes(it)

        it.world.play(story)
