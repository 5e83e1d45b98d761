"""Networks of an engine: made, listed, refused, removed - with a component that fails and hangs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from engine_house import House, house, run
from network_doubles import HANG, Cable, another_life, failure, wire

from moby_py.errors import (
    AlreadyExists,
    InvalidArgument,
    MobyError,
    NotFound,
    PermissionDenied,
    RuntimeFailed,
    Unavailable,
)

pytestmark = pytest.mark.root


async def refused(kind: type[MobyError], house: House, name: str, **more: object) -> str:
    with pytest.raises(kind) as caught:
        await house.engine.network_create(name, **more)
    return failure(caught.value)


def pool_of(*subnets: str) -> dict[str, object]:
    return {"Config": [{"Subnet": subnet} for subnet in subnets]}


def test_a_network_is_made_shown_and_removed(tmp_path: Path) -> None:
    async def story() -> None:
        cable = wire(tmp_path)
        async with house(tmp_path, networks=[cable]) as here:
            engine = here.engine
            made = await engine.network_create(
                "app",
                driver="wire",
                internal=True,
                attachable=True,
                ipam={
                    "Config": [
                        {
                            "Subnet": "10.5.0.0/24",
                            "IPRange": "10.5.0.128/25",
                            "Gateway": "10.5.0.254",
                            "AuxiliaryAddresses": {"router": "10.5.0.129"},
                        }
                    ]
                },
                options={"colour": "red"},
                labels={"team": "a"},
            )
            assert cable.steps("plan", "create") == [
                ("create", "bridge"), ("create", "host"), ("create", "none"),
                ("plan", "app"), ("create", "app"),
            ]  # fmt: skip
            assert cable.made[made.id] == made
            assert (made.driver, made.component, made.internal, made.attachable) == (
                "wire", "wire", True, True,
            )  # fmt: skip
            assert made.ipam == {
                "Driver": "default",
                "Options": None,
                "Config": [
                    {
                        "Subnet": "10.5.0.0/24",
                        "Gateway": "10.5.0.254",
                        "IPRange": "10.5.0.128/25",
                        "AuxiliaryAddresses": {"router": "10.5.0.129"},
                    }
                ],
            }
            assert [n.name for n in await engine.networks()] == ["bridge", "host", "none", "app"]
            for ref in ("app", made.id, made.id[:10]):
                assert await engine.network_inspect(ref) == made
            assert (await engine.network_inspect("default")).name == "bridge"
            await engine.network_remove(made.id[:12])
            assert cable.steps("remove") == [("remove", "app")]
            with pytest.raises(NotFound, match=r"^network app not found$"):
                await engine.network_inspect("app")
            with pytest.raises(NotFound, match=r"^network app not found$"):
                await engine.network_remove("app")
            events = []
            async for event in engine.events(since=1, until=1, filters={"type": ["network"]}):
                events.append((event.action, event.actor, event.attributes))
            assert events == []  # before its time
            stored = here.engine._core.db.events(0, 0)
            assert [(e.action, e.attributes) for e in stored if e.type == "network"] == [
                ("create", {"name": "app", "type": "wire"}),
                ("destroy", {"name": "app", "type": "wire"}),
            ]

    run(story)


def test_what_is_refused_says_so_in_dockers_words(tmp_path: Path) -> None:
    async def story() -> None:
        cable = wire(tmp_path, subnet="10.9.0.0/16")
        async with house(tmp_path, networks=[cable]) as here:
            await here.engine.network_create("app", ipam=pool_of("10.5.0.0/24"))
            cable.steps()
            overlap = "invalid pool request: Pool overlaps with other one on this address space"
            for kind, name, more, words in (
                (AlreadyExists, "app", {}, "network with name app already exists"),
                (PermissionDenied, "host", {}, "operation is not permitted on predefined host network"),
                (PermissionDenied, "bridge", {}, "operation is not permitted on predefined bridge network"),
                (PermissionDenied, "default", {}, "operation is not permitted on predefined default network"),
                (NotFound, "x", {"driver": "vx"}, 'error looking up plugin vx: plugin "vx" not found'),
                (NotFound, "x", {"ipam": {"Driver": "ip"}},
                 'error looking up plugin ip: plugin "ip" not found'),
                (PermissionDenied, "x", {"driver": "host"},
                 'only one instance of "host" network is allowed'),
                (PermissionDenied, "x", {"driver": "null"},
                 'only one instance of "null" network is allowed'),
                (PermissionDenied, "x", {"ipam": pool_of("10.5.0.128/25")}, overlap),
                (PermissionDenied, "x", {"ipam": pool_of("10.0.0.0/8")}, overlap),
                (PermissionDenied, "x", {"ipam": pool_of("10.9.1.0/24")}, overlap),
                (PermissionDenied, "x", {"ipam": pool_of("10.6.0.0/24", "10.6.0.0/25")}, overlap),
                (InvalidArgument, "x", {"ipam": {"Config": [{"Gateway": "10.1.0.1"}]}},
                 "invalid network config - an ip-range, a gateway or an auxiliary address needs its "
                 "--subnet"),
                (InvalidArgument, "-x", {},
                 "invalid network name: '-x' - use letters, digits, and inside also '_', '.' and '-'"),
            ):  # fmt: skip
                assert await refused(kind, here, name, **more) == words
            assert cable.steps("create") == []
            assert [n.name for n in await here.engine.networks()][3:] == ["app"]
            for name in ("bridge", "host", "none"):
                with pytest.raises(PermissionDenied) as caught:
                    await here.engine.network_remove(name)
                assert failure(caught.value) == f"{name} is a pre-defined network and cannot be removed"

    run(story)


@pytest.mark.parametrize("step", ["plan", "create"])
def test_a_network_whose_component_fails_leaves_nothing(tmp_path: Path, step: str) -> None:
    async def story() -> None:
        cable = wire(tmp_path)
        async with house(tmp_path, networks=[cable]) as here:
            cable.faults[step] = "no copper"
            assert await refused(RuntimeFailed, here, "app", ipam=pool_of("10.5.0.0/24")) == "no copper"
            cable.faults.clear()
            made = await here.engine.network_create("app", ipam=pool_of("10.5.0.0/24"))
            assert here.engine._core.db.networks()[0]["id"] == made.id

    run(story)


def test_a_network_whose_component_does_not_let_go_stays(tmp_path: Path) -> None:
    async def story() -> None:
        cable = wire(tmp_path)
        async with house(tmp_path, networks=[cable]) as here:
            await here.engine.network_create("app")
            cable.faults["remove"] = "still warm"
            with pytest.raises(RuntimeFailed, match=r"^still warm$"):
                await here.engine.network_remove("app")
            cable.steps()
            # Half of it may be gone: it is made again before somebody joins.
            id = await here.launch("sleep", "60", host={"NetworkMode": "app"})
            assert cable.steps("create", "attach") == [("create", "app"), ("attach", "app", "eth0")]
            await here.engine.remove(id, force=True)
            cable.faults.clear()
            await here.engine.network_remove("app")
            assert [n.name for n in await here.engine.networks()] == ["bridge", "host", "none"]

    run(story)


def test_nobody_joins_a_network_that_is_being_removed(tmp_path: Path) -> None:
    async def story() -> None:
        cable = wire(tmp_path)
        async with house(tmp_path, networks=[cable]) as here:
            await here.engine.network_create("app")
            id = await here.create("sleep", "60", host={"NetworkMode": "app"})
            cable.faults["remove"] = HANG
            removal = asyncio.create_task(here.engine.network_remove("app"))
            await cable.reached.wait()
            with pytest.raises(NotFound, match=r"^network app not found$"):
                await here.engine.start(id)
            assert cable.attached == {}
            cable.go.set()
            await removal
            with pytest.raises(NotFound, match=r"^network app not found$"):
                await here.engine.start(id)

    run(story)


def test_a_network_in_use_is_not_removed(tmp_path: Path) -> None:
    async def story() -> None:
        cable = wire(tmp_path)
        async with house(tmp_path, networks=[cable]) as here:
            await here.engine.network_create("app")
            id = await here.launch("sleep", "60", name="web", host={"NetworkMode": "app"})
            with pytest.raises(PermissionDenied) as caught:
                await here.engine.network_remove("app")
            assert failure(caught.value) == (
                f'error while removing network: network app has active endpoints (name:"web" id:"{id[:12]}")'
            )
            await here.engine.kill(id)
            await here.engine.wait(id)
            await here.engine.network_remove("app")
            with pytest.raises(NotFound, match=r"^network app not found$"):
                await here.engine.start(id)
            assert await here.status(id) == "exited"

    run(story)


def test_networks_made_at_once_get_different_pools(tmp_path: Path) -> None:
    async def story() -> None:
        options = {"default_address_pools": [{"base": "10.40.0.0/22", "size": 24}]}
        async with house(tmp_path, networks=[wire(tmp_path)], options=options) as here:
            made = await asyncio.gather(*(here.engine.network_create(f"n{n}") for n in range(3)))
            subnets = {record.ipam["Config"][0]["Subnet"] for record in made}
            default = (await here.engine.network_inspect("bridge")).ipam["Config"][0]["Subnet"]
            assert subnets | {default} == {f"10.40.{n}.0/24" for n in range(4)}
            with pytest.raises(Unavailable) as caught:
                await here.engine.network_create("more")
            assert failure(caught.value) == "all predefined address pools have been fully subnetted"
            await here.engine.network_remove("n1")
            again = await here.engine.network_create("more")
            assert again.ipam["Config"][0]["Subnet"] in subnets
            twins = await asyncio.gather(
                *(here.engine.network_create("twin", ipam=pool_of(f"10.{n}.0.0/24")) for n in (61, 62)),
                return_exceptions=True,
            )
            assert sorted(type(t).__name__ for t in twins) == ["AlreadyExists", "NetworkRecord"]

    run(story)


def test_ipv6_gets_a_unique_local_subnet(tmp_path: Path) -> None:
    async def story() -> None:
        async with house(tmp_path, networks=[wire(tmp_path)]) as here:
            made = await here.engine.network_create("six", ipv6=True)
            four, six = (config["Subnet"] for config in made.ipam["Config"])
            assert ":" not in four and six.startswith("fd") and six.endswith("::/64")
            own = await here.engine.network_create("own", ipam=pool_of("fd00:1::/64"))
            assert own.ipv6
            assert [":" in c["Subnet"] for c in own.ipam["Config"]] == [False, True]
            id = await here.launch("sleep", "60", host={"NetworkMode": "own"})
            joined = (await here.engine.inspect(id)).network["Networks"]["own"]
            assert (joined["GlobalIPv6Address"], joined["GlobalIPv6PrefixLen"]) == ("fd00:1::2", 64)
            assert joined["IPv6Gateway"] == "fd00:1::1"

    run(story)


def test_a_prefix_of_two_ids_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        async with house(tmp_path, networks=[wire(tmp_path)]) as here:
            ids = [record.id for record in await here.engine.networks()]
            while len({id[0] for id in ids}) == len(ids):
                ids.append((await here.engine.network_create(f"n{len(ids)}")).id)
            twice = next(id[0] for id in ids if sum(other[0] == id[0] for other in ids) > 1)
            with pytest.raises(InvalidArgument) as caught:
                await here.engine.network_inspect(twice)
            assert failure(caught.value) == f"multiple networks found with provided prefix: {twice}"

    run(story)


def test_a_component_that_fails_at_boot_is_asked_again_by_the_next_join(tmp_path: Path) -> None:
    async def story() -> None:
        cable = wire(tmp_path)
        async with house(tmp_path, networks=[cable]) as here:
            await here.engine.network_create("app")
            id = await here.create("sleep", "60", host={"NetworkMode": "app"})
            cable.made.clear()
            cable.faults["create app"] = "not up yet"
            await another_life(here, cable)
            assert [n.name for n in await here.engine.networks()] == ["bridge", "host", "none", "app"]
            with pytest.raises(RuntimeFailed, match=r"^not up yet$"):
                await here.engine.start(id)
            assert (await here.engine.inspect(id)).network["Networks"]["app"]["IPAddress"] == ""
            cable.faults.clear()
            cable.steps()
            await here.engine.start(id)
            assert cable.steps("create", "attach") == [("create", "app"), ("attach", "app", "eth0")]
            other = await here.launch("sleep", "60", host={"NetworkMode": "app"})
            assert cable.steps("create", "attach") == [("attach", "app", "eth0")]
            assert other != id

    run(story)


def test_one_join_makes_the_network_while_others_wait(tmp_path: Path) -> None:
    async def story() -> None:
        cable = wire(tmp_path)
        async with house(tmp_path, networks=[cable]) as here:
            await here.engine.network_create("app")
            ids = [await here.create("sleep", "60", host={"NetworkMode": "app"}) for _ in range(3)]
            cable.faults["create app"] = "not up yet"
            await another_life(here, cable)
            cable.steps()
            cable.faults["create app"] = HANG
            starts = [asyncio.create_task(here.engine.start(id)) for id in ids]
            await cable.reached.wait()
            elsewhere = await here.launch("sleep", "60")  # the default network does not wait for it
            assert await here.status(elsewhere) == "running"
            cable.faults.clear()
            cable.go.set()
            await asyncio.gather(*starts)
            assert cable.steps("create") == [("create", "app")]

    run(story)


def test_driver_words_find_their_component(tmp_path: Path) -> None:
    async def story() -> None:
        first, second = wire(tmp_path), wire(tmp_path, Cable)
        async with house(tmp_path, networks=[first, second]) as here:
            for driver, component, word in (
                ("", first, "bridge"), ("bridge", first, "bridge"),
                ("wire", first, "wire"), ("cable", second, "cable"),
            ):  # fmt: skip
                made = await here.engine.network_create(f"on-{driver or 'none'}", driver=driver)
                assert (made.component, made.driver) == (component.name, word)
                assert made.id in component.made
            host = {"NetworkMode": "on-bridge"}
            ends = {"EndpointsConfig": {"on-bridge": {}, "on-cable": {}}}
            id = await here.launch("sleep", "60", host=host, NetworkingConfig=ends)
            names = {n.id: n.name for n in await here.engine.networks()}
            for component, network, interface in ((first, "on-bridge", "eth0"), (second, "on-cable", "eth1")):
                [((who, where), request)] = component.attached.items()
                assert (who, names[where], request.interface) == (id, network, interface)

    run(story)
