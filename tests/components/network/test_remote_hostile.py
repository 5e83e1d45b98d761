"""network/remote and plugins that lie, hang, or name an interface that is not theirs to give."""

from __future__ import annotations

import asyncio
import json
import os
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from test_remote import network, request

from moby_components.network.remote.component import Remote
from moby_components.network.remote.discovery import Plugin, find
from moby_py.errors import MobyError, NotFound, RuntimeFailed, Unavailable
from moby_py.testing.room import make_context
from support.worlds import World, command, world

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces"),
]
Answer = bytes | dict[str, Any] | Callable[[], Any]
GOOD: dict[str, Answer] = {
    "Plugin.Activate": {"Implements": ["NetworkDriver", "IpamDriver"]},
    "NetworkDriver.GetCapabilities": {"Scope": "local"},
    "IpamDriver.GetDefaultAddressSpaces": {"LocalDefaultAddressSpace": "here"},
    "IpamDriver.GetCapabilities": {},
    "IpamDriver.RequestPool": {"PoolID": "p", "Pool": "10.77.0.0/24"},
    "IpamDriver.RequestAddress": {"Address": "10.77.0.1/24"},
}


class Liar(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Answers each call with the bytes or the object it was given for it, else with {}."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, path: Path) -> None:
        self.answers: dict[str, Answer] = dict(GOOD)
        self.status: dict[str, int] = {}
        self.calls: list[str] = []
        super().__init__(str(path), Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    server: Liar

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *words: Any) -> None:
        pass

    def do_POST(self) -> None:
        method = self.path.strip("/")
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.calls.append(method)
        answer = self.server.answers.get(method, {})
        if callable(answer):
            answer = answer()
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(self.server.status.get(method, 200))
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        try:
            self.wfile.write(data)
        except OSError:
            return  # it had enough


@pytest.fixture
def host(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def liar(tmp_path: Path) -> Iterator[Liar]:
    (tmp_path / "plugins").mkdir()
    made = Liar(tmp_path / "plugins/weave.sock")
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def component(tmp_path: Path) -> Remote:
    options = {"plugin_dirs": [str(tmp_path / "plugins")], "timeout": 0.5}
    return Remote(make_context(Remote, tmp_path, options=options))


def refused(host: World, component: Remote, error: type[MobyError] = RuntimeFailed) -> str:
    """What an attach says, having left nothing on the host or in the container."""

    async def story() -> str:
        net = await component.create(network())
        before = host.state()
        wish = request(host, "web", net, 2)
        with pytest.raises(error) as caught:
            await component.attach(wish)
        assert host.state() == before
        assert host.inside("web", lambda: command("ip", "-br", "link")).split()[0] == "lo"
        assert len(host.inside("web", lambda: command("ip", "-br", "link")).splitlines()) == 1
        return str(caught.value)

    return host.play(story)


def garbage(what: str) -> str:
    return f"plugin weave answered NetworkDriver.Join with garbage - {what}"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"InterfaceName": {"SrcName": "../x"}}, garbage("'../x' is no interface name")),
        ({"InterfaceName": {"SrcName": "x" * 16}}, garbage(f"'{'x' * 16}' is no interface name")),
        ({"InterfaceName": {"SrcName": ["a"]}}, garbage("\"['a']\" is no interface name")),
        ({"InterfaceName": "eth0"}, garbage("no object in InterfaceName")),
        (
            {"InterfaceName": {"SrcName": "nothing"}},
            "plugin weave names an interface that is not there: nothing",
        ),
        (
            {"InterfaceName": {"SrcName": "lo"}},
            "plugin weave may not give away interface lo - it is a hardware interface",
        ),
        (
            {"InterfaceName": {"SrcName": "uplink"}},
            "plugin weave may not give away interface uplink - it was not made for this endpoint",
        ),
        ({"Gateway": "fd00::1"}, 'unable to parse Gateway "fd00::1"'),
        ({"Gateway": "1.2.3"}, 'unable to parse Gateway "1.2.3"'),
        ({"StaticRoutes": {"a": 1}}, garbage("no list of up to 1000 StaticRoutes")),
        ({"StaticRoutes": [{"Destination": "x"}]}, garbage("\"{'Destination': 'x'}\" is no route")),
        (b"[1, 2]", garbage("not a JSON object")),
        (b"\xff\xfe{", garbage("not a JSON object")),
        (b"[" * 100_000, garbage("not a JSON object")),
        (b" " * (2 << 20), garbage("more than 1 MiB")),
        ({"Err": "no more room"}, "remote: no more room"),
    ],
)
def test_what_join_may_not_say(
    host: World, liar: Liar, component: Remote, answer: bytes | dict[str, Any], words: str
) -> None:
    liar.answers["NetworkDriver.Join"] = answer
    assert refused(host, component) == words
    assert liar.calls[-3:] == [
        "NetworkDriver.RevokeExternalConnectivity",
        "NetworkDriver.Leave",
        "NetworkDriver.DeleteEndpoint",
    ]


@pytest.mark.parametrize("kind", ["bridge", "a port of a bridge"])
def test_interfaces_that_are_not_a_containers_stay_on_the_host(
    host: World, liar: Liar, component: Remote, kind: str
) -> None:
    """Made for this very endpoint, and yet nothing that goes into a container."""

    def join() -> dict[str, Any]:
        host.inside("host", lambda: command("ip", "link", "add", "tbr", "type", "bridge"))
        if kind == "bridge":
            return {"InterfaceName": {"SrcName": "tbr"}}
        for words in ("add tv0 type veth peer name tv1", "set tv0 master tbr"):
            host.inside("host", lambda words=words: command("ip", "link", *words.split()))
        return {"InterfaceName": {"SrcName": "tv0"}}

    def delete() -> dict[str, Any]:
        for name in ("tbr", "tv0") if kind != "bridge" else ("tbr",):
            host.inside("host", lambda name=name: command("ip", "link", "del", name))
        return {}

    liar.answers["NetworkDriver.Join"] = join
    liar.answers["NetworkDriver.DeleteEndpoint"] = delete
    name, what = ("tbr", "a bridge interface") if kind == "bridge" else ("tv0", "a port of a bridge (veth)")
    assert refused(host, component) == f"plugin weave may not give away interface {name} - it is {what}"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            {"Interface": {"Address": "10.9.9.9/24"}},
            "driver modified interface address: 10.67.1.2/24 became '10.9.9.9/24'",
        ),
        (
            {"Interface": {"MacAddress": 7}},
            "plugin weave answered NetworkDriver.CreateEndpoint with garbage - no text in MacAddress",
        ),
        (
            {"Interface": [1]},
            "plugin weave answered NetworkDriver.CreateEndpoint with garbage - no object in Interface",
        ),
    ],
)
def test_what_create_endpoint_may_not_say(
    host: World, liar: Liar, component: Remote, answer: dict[str, Any], words: str
) -> None:
    liar.answers["NetworkDriver.CreateEndpoint"] = answer
    assert refused(host, component) == words


def test_a_plugin_that_hangs_costs_its_own_time_only(host: World, liar: Liar, component: Remote) -> None:
    liar.answers["NetworkDriver.Join"] = lambda: time.sleep(3) or {}
    start = time.monotonic()
    words = refused(host, component, Unavailable)
    assert words == "plugin weave does not answer NetworkDriver.Join - no answer after 0.5 s"
    assert time.monotonic() - start < 2.5


@pytest.mark.parametrize(
    ("method", "answer", "words"),
    [
        (
            "Plugin.Activate",
            b"hello",
            "legacy plugin: plugin weave answered Plugin.Activate with garbage - not a JSON object",
        ),
        (
            "Plugin.Activate",
            {"Implements": "all"},
            "legacy plugin: plugin weave answered Plugin.Activate with garbage - no list in Implements",
        ),
        (
            "Plugin.Activate",
            {"Implements": ["VolumeDriver"]},
            "legacy plugin: plugin does not implement the requested driver: weave is no NetworkDriver",
        ),
        (
            "NetworkDriver.GetCapabilities",
            {"Scope": "galaxy"},
            "invalid capability: expecting 'local' or 'global', got galaxy",
        ),
        (
            "IpamDriver.RequestPool",
            {"PoolID": "p", "Pool": "everything"},
            "plugin weave answered IpamDriver.RequestPool with garbage - no subnet 'everything'",
        ),
        (
            "IpamDriver.RequestAddress",
            {"Address": "10.1.1.1/24"},
            "plugin weave answered IpamDriver.RequestAddress with garbage - '10.1.1.1/24' is no address of "
            "10.77.0.0/24",
        ),
        ("IpamDriver.RequestPool", {"Error": "no more pools"}, "remote: no more pools"),
    ],
)
def test_a_network_that_cannot_be_made_is_not_kept(
    liar: Liar, component: Remote, method: str, answer: bytes | dict[str, Any], words: str
) -> None:
    liar.answers[method] = answer

    async def story() -> None:
        draft = network(ipam={"Driver": "weave", "Config": []}, ipv6=False)
        with pytest.raises(RuntimeFailed) as caught:
            await component.create(await component.plan(draft))
        assert str(caught.value) == words

    asyncio.run(story())
    assert component._networks.all() == {}
    assert "NetworkDriver.CreateNetwork" not in liar.calls


def test_an_http_error_is_told_with_the_plugins_words(liar: Liar, component: Remote) -> None:
    liar.status["NetworkDriver.CreateNetwork"] = 500
    liar.answers["NetworkDriver.CreateNetwork"] = b"out of cheese\n"
    with pytest.raises(RuntimeFailed, match=r"^NetworkDriver\.CreateNetwork: out of cheese$"):
        asyncio.run(component.create(network()))


def test_where_plugins_are_found(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        folder.mkdir()
    (first / "one.spec").write_text("unix:///run/one.sock\n")
    (first / "two.json").write_text(
        json.dumps({"Name": "two", "Addr": "tcp://127.0.0.1:9", "TLSConfig": {"InsecureSkipVerify": True}})
    )
    (second / "one.spec").write_text("tcp://127.0.0.1:1")
    (second / "three.spec").write_text("tcp://127.0.0.1:3")
    (second / "bad.spec").write_text("gopher://x y")
    (second / "bad2.json").write_text("{")
    (second / "file.sock").write_text("")
    folders = [first, tmp_path / "missing", second]
    assert find("one", folders) == Plugin("one", socket="/run/one.sock")
    assert find("two", folders) == Plugin("two", url="https://127.0.0.1:9", tls={"InsecureSkipVerify": True})
    assert find("three", folders) == Plugin("three", url="http://127.0.0.1:3")
    for name in ("bad", "bad2", "file", "../b/three", ".", "nobody"):
        assert find(name, folders) is None


def test_a_plugin_that_went_is_not_found(component: Remote) -> None:
    with pytest.raises(NotFound, match=r'^plugin "weave" not found$'):
        asyncio.run(component.create(network()))
