"""Plugins that fail, hang, talk nonsense or are not there: told in words, and nothing is left."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from moby_py.errors import DataError, InvalidArgument, MobyError, RuntimeFailed, Unavailable, Unsupported
from moby_py.model import PortBinding
from support.cni import Rig, id_of, left, rig
from support.worlds import command, soon

pytestmark = pytest.mark.root

FAKE = """#!/bin/sh
# A plugin of the chain: what `answer` says for ADD, silence for the rest; it keeps a diary.
echo "$CNI_COMMAND" >> {folder}/diary
case "$CNI_COMMAND" in
VERSION) echo '{{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}}' ;;
ADD) . {folder}/answer ;;
esac
"""


def fake(folder: Path, answer: str) -> dict[str, Any]:
    """Options whose chain ends with plugin "odd"; the diary says what it was asked."""
    plugins = folder / "plugins"
    plugins.mkdir()
    (folder / "answer").write_text(answer)
    (plugins / "odd").write_text(FAKE.format(folder=folder))
    (plugins / "odd").chmod(0o755)
    return {"plugin_dirs": ["/usr/lib/cni", str(plugins)], "chain": [{"type": "odd"}]}


PORT = (PortBinding(container_port=80, host_port=18080),)
CASES: list[tuple[str, type[MobyError], str, str | None]] = [
    (
        'echo \'{"code": 11, "msg": "lease taken", "details": "by 10.0.0.1"}\'; exit 1',
        RuntimeFailed,
        "CNI plugin odd failed to join - lease taken; by 10.0.0.1 (CNI code 11)",
        "try again in a moment",
    ),
    (
        'echo \'{"code": 120, "msg": "no"}\'; exit 1',
        RuntimeFailed,
        "CNI plugin odd failed to join - no (CNI code 120)",
        None,
    ),
    (
        "echo 'panic: oops' >&2; exit 2",
        RuntimeFailed,
        "CNI plugin odd failed to join - exit status 2: panic: oops",
        None,
    ),
    ("kill -11 $$", RuntimeFailed, "CNI plugin odd failed to join - signal 11", None),
    (
        "echo hello world",
        DataError,
        "CNI plugin odd answered ADD with something that is no CNI result - 'hello world'",
        "is that program a CNI plugin? see plugin_dirs",
    ),
    ("exit 0", DataError, "CNI plugin odd answered ADD with no result", None),
    (
        "echo '{\"ips\": 7}'",
        DataError,
        "CNI plugin odd answered ADD with no result",
        None,
    ),
    (
        'echo \'{"ips": [{"address": "everywhere"}]}\'',
        DataError,
        "the CNI result is not of its form - ValueError: 'everywhere' does not appear to be an IPv4 or "
        "IPv6 interface",
        None,
    ),
    (
        "printf '[%.0s' $(seq 1 100000)",
        DataError,
        f"CNI plugin odd answered ADD with something that is no CNI result - {'[' * 80!r}",
        "is that program a CNI plugin? see plugin_dirs",
    ),
]


@pytest.mark.parametrize(("answer", "kind", "text", "hint"), CASES, ids=lambda x: str(x)[:20])
def test_a_plugin_that_fails_is_named_and_everything_taken_back(
    tmp_path: Path, answer: str, kind: type[MobyError], text: str, hint: str | None
) -> None:
    with rig(tmp_path, **fake(tmp_path, answer)) as it:

        async def story() -> None:
            default = await it.default()
            with pytest.raises(kind) as caught:
                await it.join("a", default, ports=PORT)
            network = default.name if "result is not" in text else f"{name(it)}-bridge"
            assert caught.value.message == f"network {network}: {text}"
            assert caught.value.hint == hint
            await nothing(it)
            (tmp_path / "answer").write_text("exec cat /dev/null; exit 1")
            assert (tmp_path / "diary").read_text().split()[-2:] == ["ADD", "DEL"]
            await it.end()
            assert left(it.world) == []

        it.world.play(story)


def name(it: Rig) -> str:
    from moby_py.testing.room import room_name

    return room_name(it.root)


async def nothing(it: Rig) -> None:
    """No interface in the sandbox, no note, no port held."""
    links = json.loads(it.world.inside("a", lambda: command("ip", "-j", "link")))
    assert [link["ifname"] for link in links] == ["lo"]
    assert not list((it.root / "state/network/cni/notes").iterdir())
    it.world.serve("host", 18080)


def test_a_plugin_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    options = fake(tmp_path, f"sleep 300 & echo $! > {tmp_path}/child; sleep 300")
    with rig(tmp_path, **options, timeout=0.7) as it:

        async def story() -> None:
            default = await it.default()
            begun = time.monotonic()
            with pytest.raises(RuntimeFailed) as caught:
                await it.join("a", default, ports=PORT)
            assert caught.value.message == (
                f"network {name(it)}-bridge: CNI plugin odd was killed - no end of ADD after 0.7 s"
            )
            assert time.monotonic() - begun < 6
            child = int((tmp_path / "child").read_text())
            await soon(lambda: not alive(child))
            await nothing(it)
            await it.end()
            assert left(it.world) == []

        it.world.play(story)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_cancelled_attach_takes_everything_back(tmp_path: Path) -> None:
    options = fake(tmp_path, f"echo $$ > {tmp_path}/began; sleep 300")
    with rig(tmp_path, **options) as it:

        async def story() -> None:
            default = await it.default()
            task = asyncio.create_task(it.join("a", default, ports=PORT))
            await soon((tmp_path / "began").exists)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await nothing(it)
            await it.end()
            assert left(it.world) == []

        it.world.play(story)


def test_a_plugin_that_fails_to_leave_keeps_its_note_for_the_next_start(tmp_path: Path) -> None:
    with rig(tmp_path, **fake(tmp_path, "cat")) as it:
        plugin = tmp_path / "plugins/odd"
        good = plugin.read_text()
        (tmp_path / "answer").write_text("sed 's/.*\"prevResult\": *//; s/}$//'")

        async def story() -> None:
            default = await it.default()
            await it.join("a", default)
            plugin.write_text(good.replace("ADD)", "DEL) exit 1 ;;\nADD)"))
            with pytest.raises(RuntimeFailed, match=r"CNI plugin odd failed to leave - exit status 1$"):
                await it.leave("a", default)
            links = json.loads(it.world.inside("a", lambda: command("ip", "-j", "link")))
            assert [link["ifname"] for link in links] == ["lo"], "the others did their part"
            plugin.write_text(good)
            await it.again()
            assert not list((it.root / "state/network/cni/notes").iterdir())
            await it.end()
            assert left(it.world) == []

        it.world.play(story)


def test_a_plugin_that_is_not_there(tmp_path: Path) -> None:
    with rig(tmp_path, chain=[{"type": "nosuch"}]) as it:

        async def story() -> None:
            with pytest.raises(Unavailable) as caught:
                await it.default()
            assert caught.value.message == (
                "there is no CNI plugin nosuch in /usr/lib/cni, /opt/cni/bin, /usr/libexec/cni"
            )
            assert caught.value.hint == (
                "apt-get install containernetworking-plugins, or name its folder in plugin_dirs"
            )
            with pytest.raises(Unavailable):
                await it.network("app")
            assert not (it.root / "state/network/cni/networks").exists()

        it.world.play(story)


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"com.docker.network.driver.mtu": "many"}, InvalidArgument, "invalid com.docker.network.driver.mtu: many - it is a number from 68 to 65535"),  # noqa: E501
        ({"com.docker.network.bridge.name": "much-too-long-for-one"}, InvalidArgument, "invalid com.docker.network.bridge.name: 'much-too-long-for-one' is no interface name"),  # noqa: E501
        ({"com.docker.network.bridge.name": "../x"}, InvalidArgument, "invalid com.docker.network.bridge.name: '../x' is no interface name"),  # noqa: E501
        ({"com.docker.network.bridge.enable_ip_masquerade": "perhaps"}, InvalidArgument, "invalid com.docker.network.bridge.enable_ip_masquerade: perhaps - it is true or false"),  # noqa: E501
        ({"com.docker.network.bridge.host_binding_ipv4": "here"}, InvalidArgument, "invalid com.docker.network.bridge.host_binding_ipv4: here is no IPv4 address"),  # noqa: E501
        ({"com.docker.network.bridge.enable_icc": "false"}, Unsupported, "network app: com.docker.network.bridge.enable_icc=false - the CNI bridge plugin cannot keep the containers of one network apart"),  # noqa: E501
    ],
)  # fmt: skip
def test_malformed_options(tmp_path: Path, options: dict[str, str], kind: type[MobyError], text: str) -> None:
    with rig(tmp_path) as it:

        async def story() -> None:
            with pytest.raises(kind) as caught:
                await it.network("app", options=options)
            assert caught.value.message == text

        it.world.play(story)


GC = """#!/bin/sh
# Speaks CNI 1.1: the verbs that the others do not have, the rest is theirs.
case "$CNI_COMMAND" in
VERSION) echo '{{"cniVersion":"1.1.0","supportedVersions":["1.0.0","1.1.0"]}}' ;;
GC) cat > {folder}/gc-{type}.json ;;
*) sed 's/"cniVersion": "1.1.0"/"cniVersion": "1.0.0"/g' | /usr/lib/cni/{type} ;;
esac
"""


def test_gc_where_every_plugin_speaks_it(tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    for type in ("bridge", "static", "portmap", "firewall"):
        (plugins / type).write_text(GC.format(folder=tmp_path, type=type))
        (plugins / type).chmod(0o755)
    with rig(tmp_path, plugin_dirs=[str(plugins)]) as it:

        async def story() -> None:
            app = await it.network("app")
            written = json.loads((it.root / f"state/network/cni/networks/{app.id}.conflist").read_text())
            assert written["cniVersion"] == "1.1.0"
            await it.join("a", app)
            await it.again()
            asked = json.loads((tmp_path / "gc-firewall.json").read_text())
            assert asked["cni.dev/valid-attachments"] == [{"containerID": id_of("a"), "ifname": "eth0"}]
            assert (asked["cniVersion"], asked["name"]) == ("1.1.0", f"{name(it)}-{app.id[:12]}")
            assert (tmp_path / "gc-bridge.json").exists()
            await it.end()
            assert left(it.world) == []

        it.world.play(story)


def test_no_secret_of_the_daemon_reaches_a_plugin(tmp_path: Path) -> None:
    os.environ["MOBY_SECRET"] = "hush"
    try:
        with rig(tmp_path, **fake(tmp_path, f"env > {tmp_path}/env; exit 1")) as it:

            async def story() -> None:
                default = await it.default()
                with pytest.raises(RuntimeFailed):
                    await it.join("a", default)
                seen = dict(x.split("=", 1) for x in (tmp_path / "env").read_text().splitlines())
                assert "MOBY_SECRET" not in seen
                assert {k: v for k, v in seen.items() if k.startswith("CNI_")} == {
                    "CNI_COMMAND": "ADD",
                    "CNI_CONTAINERID": id_of("a"),
                    "CNI_NETNS": str(it.world.path("a")),
                    "CNI_IFNAME": "eth0",
                    "CNI_ARGS": "IgnoreUnknown=1",
                    "CNI_PATH": f"/usr/lib/cni:{tmp_path}/plugins",
                }
                await it.end()

            it.world.play(story)
    finally:
        del os.environ["MOBY_SECRET"]
