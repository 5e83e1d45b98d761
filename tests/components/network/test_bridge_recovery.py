"""After a killed daemon, a reboot, a flushed ruleset: the same networks; and afterwards nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from moby_components.network.bridge.component import BridgeNetwork
from moby_py.errors import MobyError
from moby_py.model import Endpoint, NetworkRecord
from support.bridging import (
    component,
    cut_off,
    endpoint,
    network,
    off,
    opened,
    ours,
    port,
    reaches,
    request,
    settled,
)
from support.worlds import HOST, World, command, soon, world

pytestmark = pytest.mark.root


@pytest.fixture
def host(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


async def killed(it: BridgeNetwork) -> None:
    """What is left of a component when its process is killed: the kernel's side. (Its sockets close;
    it has no chance to clear anything away.)"""
    bridges = it._bridges
    await bridges._watch.close()
    for relay in bridges._relays.values():
        await relay.close()
    await bridges._world.run(bridges._site.ports.close)
    await bridges._world.close()


async def next_life(root: Path, records: list[NetworkRecord], endpoints: list[Endpoint]) -> BridgeNetwork:
    made = component(root)
    await made.open()
    for record in records:
        await made.create(record)
    await made.recover(endpoints)
    return made


def test_a_killed_daemon_is_not_noticed(tmp_path: Path, host: World) -> None:
    async def story() -> None:
        first = await next_life(tmp_path, [network(), network(8)], [])
        kept, lost = (
            request(host, network(), 2, port(80, 8080), port(81, 0, "udp")),
            request(host, network(8), 3),
        )
        got = await first.attach(kept)
        await first.attach(lost)
        await off(host.serve, "c2", 80)
        before = await off(ours, host)
        await killed(first)
        assert await reaches(host, "remote", HOST, 8080), "while nobody runs"

        second = await next_life(tmp_path, [network()], [endpoint(kept, got)])
        assert await reaches(host, "remote", HOST, 8080)
        assert await reaches(host, "host", "::1", 8080)
        after = await off(ours, host)
        assert len(before) - len(after) == 2, "the other network's bridge and its endpoint's veth went"
        assert await second.attach(kept) == got, "idempotent in the second life too"
        with pytest.raises(MobyError, match=r"Bind for 0\.0\.0\.0:8080 failed: port is already allocated$"):
            await second.attach(request(host, network(), 4, port(80, 8080)))
        await second.detach(kept, got)
        assert await cut_off(host, "remote", HOST, 8080)
        await second.close()

    host.play(story)
    assert settled(host) == []


def test_after_a_reboot_networks_are_made_again(tmp_path: Path, host: World) -> None:
    def reboot() -> None:
        for name in ours(host):
            if name.startswith("m"):
                command("ip", "link", "del", name)
        command("nft", "flush", "ruleset")

    async def story() -> None:
        first = await next_life(tmp_path, [network()], [])
        got = await first.attach(request(host, network(), 2, port(80, 8080)))
        await killed(first)
        await off(lambda: host.inside("host", reboot))
        await off(host.drop, "c2")
        assert await off(ours, host) == []

        second = await next_life(tmp_path, [network()], [])
        assert await second.attach(request(host, network(), 2, port(80, 8080))) == got
        await off(host.serve, "c2", 80)
        assert await reaches(host, "remote", HOST, 8080)
        await killed(second)

    host.play(story)


def test_interfaces_that_somebody_removed_are_mended(tmp_path: Path, host: World) -> None:
    async def story() -> None:
        first = await next_life(tmp_path, [network()], [])
        asked = [request(host, network(), number, port(80, 8080 + number)) for number in (2, 3)]
        seen = [endpoint(it, await first.attach(it)) for it in asked]
        await off(host.serve, "c2", 80)
        await off(host.serve, "c3", 80)
        await killed(first)
        names = await off(ours, host)
        bridge = next(name for name in names if name.startswith("mb"))
        await off(lambda: host.inside("host", lambda: command("ip", "link", "del", bridge)))
        await off(lambda: host.inside("c2", lambda: command("ip", "link", "del", "eth0")))
        assert await cut_off(host, "remote", HOST, 8083)
        second = await next_life(tmp_path, [network()], seen)
        for number in (2, 3):
            assert await reaches(host, "remote", HOST, 8080 + number)
        assert await reaches(host, "c2", "10.9.0.3", 80)
        await killed(second)

    host.play(story)


def test_a_flushed_ruleset_is_loaded_again_at_once(tmp_path: Path, host: World) -> None:
    async def story() -> None:
        async with opened(tmp_path, network()) as it:
            await it.attach(request(host, network(), 2, port(80, 8080)))
            await off(host.serve, "c2", 80)
            await off(lambda: host.inside("host", lambda: command("nft", "flush", "ruleset")))
            tables = "table inet moby-py-"
            await soon(lambda: tables in host.inside("host", lambda: command("nft", "list", "tables")))
            assert await reaches(host, "remote", HOST, 8080)

    host.play(story)


def test_a_change_mends_flushed_rules_too(tmp_path: Path, host: World) -> None:
    async def story() -> None:
        async with opened(tmp_path, network()) as it:
            await it._bridges._watch.close()
            await it.attach(request(host, network(), 2, port(80, 8080)))
            await off(host.serve, "c2", 80)
            await off(lambda: host.inside("host", lambda: command("nft", "flush", "ruleset")))
            await it.attach(request(host, network(), 3, port(80, 8081)))
            await off(host.serve, "c3", 80)
            for number in (8080, 8081):
                assert await reaches(host, "remote", HOST, number)

    host.play(story)


def test_down_leaves_nothing_and_with_containers_everything(tmp_path: Path, host: World) -> None:
    before = host.state()

    async def story() -> None:
        it = await next_life(tmp_path, [network()], [])
        asked = request(host, network(), 2, port(80, 8080))
        got = await it.attach(asked)
        await off(host.serve, "c2", 80)
        await it.close()
        assert len(await off(ours, host)) == 4
        assert await reaches(host, "remote", HOST, 8080)
        again = await next_life(tmp_path, [network()], [endpoint(asked, got)])
        await again.detach(asked, got)
        await again.close()

    host.play(story)
    assert settled(host) == []
    assert host.state() == before
    assert "LISTEN" not in host.inside("host", lambda: command("ss", "-Hltn"))


def test_a_failed_attach_leaves_nothing(tmp_path: Path, host: World) -> None:
    async def story() -> None:
        async with opened(tmp_path, network()) as it:
            before = await off(ours, host)
            gone = request(host, network(), 2, port(80, 8080))
            await off(host.drop, "c2")
            with pytest.raises(MobyError) as caught:
                await it.attach(gone)
            assert caught.value.message == (
                f"cannot attach to network net9 - {gone.sandbox.path}: No such file or directory"
            )
            taken = request(host, network(), 3, port(80, 8080), interface="lo")
            with pytest.raises(MobyError, match=r"^cannot attach to network net9 - veth mv"):
                await it.attach(taken)
            assert await off(ours, host) == before
            await it.attach(request(host, network(), 4, port(80, 8080)))

    host.play(story)


def test_a_cancelled_attach_leaves_nothing(tmp_path: Path, host: World) -> None:
    async def story() -> None:
        async with opened(tmp_path, network()) as it:
            before = await off(ours, host)
            for delay in (0, 0.001, 0.002, 0.004):
                task = asyncio.create_task(it.attach(request(host, network(), 2, port(80, 8080))))
                await asyncio.sleep(delay)
                if task.cancel():
                    with pytest.raises(asyncio.CancelledError):
                        await task
                    assert await off(ours, host) == before
            await it.attach(request(host, network(), 2, port(80, 8080)))

    host.play(story)


def test_a_sandbox_that_is_gone_already(tmp_path: Path, host: World) -> None:
    async def story() -> None:
        async with opened(tmp_path, network()) as it:
            asked = request(host, network(), 2, port(80, 8080))
            got = await it.attach(asked)
            await off(host.drop, "c2")
            await it.detach(asked, got)
            again = await it.attach(request(host, network(), 2, port(80, 8080)))
            assert again == got

    host.play(story)


def test_many_at_once(tmp_path: Path, host: World) -> None:
    async def story() -> None:
        async with opened(tmp_path, network()) as it:
            asked = [request(host, network(), number, port(80)) for number in range(2, 42)]
            got = await asyncio.gather(*(it.attach(one) for one in asked))
            assert len({p.host_port for one in got for p in one.ports}) == 40
            await off(host.serve, "c41", 80)
            assert await reaches(host, "remote", HOST, got[-1].ports[0].host_port)
            await asyncio.gather(*(it.detach(a, b) for a, b in zip(asked, got, strict=True)))
            assert len(await off(ours, host)) == 3

    host.play(story)
    assert settled(host) == []


def test_a_start_that_fails_half_way_keeps_living_containers(tmp_path: Path, host: World) -> None:
    """Closed before `recover` told it who lives: nothing may be cleared away."""

    async def story() -> None:
        first = await next_life(tmp_path, [network()], [])
        await first.attach(request(host, network(), 2, port(80, 8080)))
        await off(host.serve, "c2", 80)
        await killed(first)
        second = component(tmp_path)
        await second.open()
        await second.create(network())
        await second.close()
        assert await reaches(host, "remote", HOST, 8080)

    host.play(story)


def test_containers_that_went_without_a_word_keep_nothing(tmp_path: Path, host: World) -> None:
    async def story() -> None:
        it = await next_life(tmp_path, [network()], [])
        await it.attach(request(host, network(), 2))
        host.drop("c2")
        await soon(lambda: not [name for name in ours(host) if name.startswith("mv")])
        await it.close()

    host.play(story)
    assert settled(host) == []
