"""What the resolver hears: names, aliases, renames, leavers; and that it can fail without harm."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from engine_house import House, house, run
from network_doubles import Wire, another_life, wire

from moby_components.common.dns import Client, Named
from moby_py.errors import Conflict, InvalidArgument, Unavailable

pytestmark = pytest.mark.root


class Naming(Wire):
    names = "engine"


class Listener:
    """In the place of the resolver: what it knows after each call."""

    def __init__(self) -> None:
        self.named: dict[tuple[str, str], Named] = {}
        self.clients: dict[str, Client] = {}
        self.fails = False

    async def name(self, *named: Named) -> None:
        if self.fails:
            raise Unavailable("the resolver is down")
        for one in named:
            self.named[one.container, one.network] = one

    async def unname(self, container: str, network: str) -> None:
        self.named.pop((container, network), None)

    async def serve(self, client: Client) -> None:
        self.clients[client.id] = client

    async def dismiss(self, id: str) -> None:
        self.clients.pop(id, None)

    async def sync(self, named: list[Named], clients: list[Client]) -> None:
        self.named = {(one.container, one.network): one for one in named}
        self.clients = {client.id: client for client in clients}

    def names(self, id: str) -> dict[str, tuple[str, ...]]:
        return {n.domain: n.names for (container, _), n in self.named.items() if container == id}


def play(tmp_path: Path, story: Callable[[House, Wire, Listener], Awaitable[None]]) -> None:
    async def whole() -> None:
        cable = wire(tmp_path, Naming, real=True)
        async with house(tmp_path, networks=[cable]) as here:
            heard = Listener()
            here.engine._core.naming._resolver = heard  # type: ignore[assignment]
            for number, name in enumerate(("a", "b")):
                pool = [{"Subnet": f"10.6{number}.0.0/24"}]
                await here.engine.network_create(name, ipam={"Config": pool})
            await story(here, cable, heard)

    run(whole)


def test_names_follow_a_container(tmp_path: Path) -> None:
    async def story(here: House, cable: Wire, heard: Listener) -> None:
        ends: dict[str, Any] = {"EndpointsConfig": {"a": {"Aliases": ["db", "store"]}}}
        host = {"NetworkMode": "a", "Dns": ["9.9.9.9"]}
        id = await here.launch("sleep", "60", name="web", host=host, NetworkingConfig=ends, Hostname="www")
        assert heard.names(id) == {"a": ("web", "db", "store", id[:12], "www")}
        [named] = heard.named.values()
        assert named.addresses == ("10.60.0.2",)
        client = heard.clients[id]
        assert client.sandbox == str(here.engine._core.layout.netns(id))
        assert (client.upstream, client.forward) == (("9.9.9.9",), True)
        resolv = here.runtime.seen[id]["/etc/resolv.conf"]
        assert b"nameserver 9.9.9.9\n" in resolv
        await here.engine.network_connect("b", id, {"Aliases": ["cache"]})
        assert heard.names(id) == {
            "a": ("web", "db", "store", id[:12], "www"), "b": ("web", "cache", id[:12], "www"),
        }  # fmt: skip
        assert len(heard.clients[id].networks) == 2
        shown = (await here.engine.inspect(id)).network["Networks"]
        assert shown["b"]["DNSNames"] == ["web", "cache", id[:12], "www"]
        await here.engine.rename("web", "shop")
        assert heard.names(id)["b"] == ("shop", "cache", id[:12], "www")
        shown = (await here.engine.inspect(id)).network["Networks"]
        assert shown["b"]["DNSNames"] == ["shop", "cache", id[:12], "www"]
        await here.engine.rename("shop", "cache")
        await here.engine.rename("cache", "shop")
        assert heard.names(id)["b"] == ("shop", "cache", id[:12], "www"), "an alias is lost"
        await here.engine.network_disconnect("a", id)
        assert heard.names(id) == {"b": ("shop", "cache", id[:12], "www")}
        await here.engine.stop(id, timeout=0)
        assert (heard.named, heard.clients) == ({}, {})

    play(tmp_path, story)


def test_the_embedded_resolver_is_named_in_resolv_conf(tmp_path: Path) -> None:
    async def story(here: House, cable: Wire, heard: Listener) -> None:
        id = await here.launch("sleep", "60", host={"NetworkMode": "a"})
        assert here.runtime.seen[id]["/etc/resolv.conf"].startswith(b"nameserver 127.0.0.11\n")
        plain = await here.launch("sleep", "60")  # the default network has no names
        assert b"127.0.0.11" not in here.runtime.seen[plain]["/etc/resolv.conf"]
        assert plain not in heard.clients
        resolv = here.engine._core.layout.files(plain) / "resolv.conf"
        await here.engine.network_connect("a", plain, {})
        assert resolv.read_text().startswith("nameserver 127.0.0.11\n")
        assert plain in heard.clients
        await here.engine.network_disconnect("a", plain)
        assert "127.0.0.11" not in resolv.read_text()
        assert plain not in heard.clients

    play(tmp_path, story)


def test_no_way_out_means_no_questions_out(tmp_path: Path) -> None:
    async def story(here: House, cable: Wire, heard: Listener) -> None:
        await here.engine.network_create("closed", internal=True)
        id = await here.launch("sleep", "60", host={"NetworkMode": "closed"})
        assert heard.clients[id].forward is False
        await here.engine.network_connect("bridge", id, {})
        assert heard.clients[id].forward is True
        await here.engine.network_disconnect("bridge", id)
        assert heard.clients[id].forward is False

    play(tmp_path, story)


def test_a_resolver_that_fails_undoes_the_join(tmp_path: Path) -> None:
    async def story(here: House, cable: Wire, heard: Listener) -> None:
        id = await here.launch("sleep", "60", host={"NetworkMode": "a"})
        heard.fails = True
        with pytest.raises(Unavailable, match=r"^the resolver is down$"):
            await here.engine.network_connect("b", id, {"GwPriority": 1})
        assert {r.network.name for r in cable.attached.values()} == {"a"}
        assert list((await here.engine.inspect(id)).network["Networks"]) == ["a"]
        other = await here.create("sleep", "60", host={"NetworkMode": "a"})
        with pytest.raises(Unavailable, match=r"^the resolver is down$"):
            await here.engine.start(other)
        assert {who for who, _ in cable.attached} == {id}
        heard.fails = False
        await here.engine.start(other)

    play(tmp_path, story)


def test_links_are_lines_of_the_hosts_file(tmp_path: Path) -> None:
    async def story(here: House, cable: Wire, heard: Listener) -> None:
        db = await here.launch("sleep", "60", name="db", host={"NetworkMode": "a"})
        far = await here.launch("sleep", "60", name="far", host={"NetworkMode": "b"})
        old = await here.launch("sleep", "60", name="old")
        links: dict[str, Any] = {"EndpointsConfig": {"a": {"Links": ["db:store", "/db", "far:x"]}}}
        web = await here.launch("sleep", "60", name="web", host={"NetworkMode": "a"}, NetworkingConfig=links)
        text = here.runtime.seen[web]["/etc/hosts"].decode()
        short = db[:12]
        assert f"10.60.0.2\tstore {short} db\n" in text
        assert f"10.60.0.2\tdb {short}\n" in text
        assert "far" not in text, "it is on no network with it"
        shown = (await here.engine.inspect(web)).network["Networks"]["a"]
        assert shown["Links"] == ["db:store", "/db", "far:x"]
        await here.engine.network_connect("b", web, {"Links": ["far:away"]})
        hosts = (here.engine._core.layout.files(web) / "hosts").read_text()
        assert f"10.61.0.2\taway {far[:12]} far\n" in hosts
        assert hosts.count("store") == 1

        plain = await here.launch("sleep", "60", name="plain", host={"Links": ["old:db", "/old:/plain/o"]})
        text = here.runtime.seen[plain]["/etc/hosts"].decode()
        address = (await here.engine.inspect(old)).network["Networks"]["bridge"]["IPAddress"]
        assert f"{address}\tdb {old[:12]} old\n{address}\to {old[:12]} old\n" in text
        await here.engine.stop(old, timeout=0)
        late = await here.create("sleep", "60", name="late", host={"Links": ["old:db"]})
        with pytest.raises(Conflict) as caught:
            await here.engine.start(late)
        assert caught.value.message == "Cannot link to a non running container: /old AS /late/db"
        for bad in ("db:a b", "db:x\n1.2.3.4\ty", "", ":x"):
            with pytest.raises(InvalidArgument, match=r"^bad format for links: "):
                await here.create("true", host={"Links": [bad]})
            with pytest.raises(InvalidArgument, match=r"^bad format for links: "):
                await here.engine.network_connect("b", db, {"Links": [bad]})

    play(tmp_path, story)


def test_another_life_tells_the_whole_truth(tmp_path: Path) -> None:
    async def story(here: House, cable: Wire, heard: Listener) -> None:
        ids = [await here.launch("sleep", "60", name=f"c{n}", host={"NetworkMode": "a"}) for n in range(2)]
        before = (heard.named, heard.clients)
        await here.engine.kill(ids[1])
        await here.engine.wait(ids[1])
        await another_life(here, cable)
        fresh = here.engine._core.naming._resolver = Listener()  # type: ignore[assignment]
        entries = [entry for entry in here.engine._core.entries.values() if entry.record.live]
        await here.engine._core.naming.sync(entries)
        assert fresh.named == {key: one for key, one in before[0].items() if key[0] == ids[0]}
        assert fresh.clients == {ids[0]: before[1][ids[0]]}

    play(tmp_path, story)
