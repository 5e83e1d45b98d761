"""Networks over several lives of the engine: other components, kills in the middle, old databases."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest
from engine_house import House, house, run
from network_doubles import HANG, Cable, Radio, Wire, another_life, failure, wire

from moby_components.engine.moby.db import VERSION, Database
from moby_py.errors import RuntimeFailed, Unavailable

pytestmark = pytest.mark.root


async def address(here: House, id: str, network: str) -> str:
    return (await here.engine.inspect(id)).network["Networks"][network]["IPAddress"]


def test_records_and_addresses_outlive_another_component(tmp_path: Path) -> None:
    async def story() -> None:
        async with house(tmp_path, networks=[wire(tmp_path)]) as here:
            made = await here.engine.network_create(
                "app", ipam={"Config": [{"Subnet": "10.5.0.0/24"}]}, labels={"a": "b"}
            )
            default = await here.engine.network_inspect("bridge")
            fill = [await here.launch("sleep", "60") for _ in range(2)]
            ids = {
                net: await here.launch("sleep", "60", host={"NetworkMode": net}) for net in ("app", "default")
            }
            before = {n: await address(here, ids[n], s) for n, s in (("app", "app"), ("default", "bridge"))}
            for id in (*fill, *ids.values()):
                await here.engine.stop(id, timeout=0)

            radio = wire(tmp_path, Radio)
            await another_life(here, radio)
            other = await here.engine.network_inspect("app")
            assert (other.component, other.addressing, other.id, other.created, other.labels) == (
                "radio", "component", made.id, made.created, made.labels,
            )  # fmt: skip
            assert (await here.engine.network_inspect("bridge")).id == default.id
            await here.engine.start(ids["app"])
            assert await address(here, ids["app"], "app") == ""
            assert radio.attached[ids["app"], made.id].ipv4 == ""
            await here.engine.stop(ids["app"], timeout=0)
            await here.engine.remove(fill[0])

            await another_life(here, wire(tmp_path))
            back = await here.engine.network_inspect("app")
            assert back == made
            assert await here.engine.network_inspect("bridge") == default
            for net, shown in (("app", "app"), ("default", "bridge")):
                await here.engine.start(ids[net])
                assert await address(here, ids[net], shown) == before[net]
            holders = {lease.holder for lease in here.engine._core.db.leases()}
            assert holders == {*ids.values(), fill[1]}, "a removed container keeps a lease"

    run(story)


def test_another_component_under_the_same_id_is_noticed(tmp_path: Path) -> None:
    async def story() -> None:
        async with house(tmp_path, networks=[wire(tmp_path, id="net")]) as here:
            await here.engine.network_create("app")
            await another_life(here, wire(tmp_path, Radio, id="net"))
            found = await here.engine.network_inspect("app")
            assert (found.component, found.addressing) == ("net", "component")

    run(story)


def test_a_network_that_nobody_serves_any_more(tmp_path: Path) -> None:
    async def story() -> None:
        first, second = wire(tmp_path), wire(tmp_path, Cable)
        async with house(tmp_path, networks=[first, second]) as here:
            made = await here.engine.network_create("far", driver="cable")
            id = await here.create("sleep", "60", host={"NetworkMode": "far"})
            running = await here.launch("sleep", "60", name="on", host={"NetworkMode": "far"})
            await another_life(here, first)
            assert [n.name for n in await here.engine.networks()] == ["bridge", "host", "none", "far"]
            with pytest.raises(Unavailable) as caught:
                await here.engine.start(id)
            assert failure(caught.value) == (
                "no component of this platform serves network far - its driver is cable"
            )
            assert caught.value.hint == "wire a network component with that driver into the blueprint"
            # Its row is as it was: with the component back, it is served again.
            await another_life(here, first, second)
            assert await here.engine.network_inspect("far") == made
            await another_life(here, first)
            await here.engine.network_disconnect("far", running)
            await here.engine.network_disconnect("far", id)
            await here.engine.network_remove("far")
            assert [n.name for n in await here.engine.networks()] == ["bridge", "host", "none"]
            await here.engine.network_connect("bridge", running, {})
            assert await here.status(running) == "running"

    run(story)


def test_an_other_subnet_of_the_default_network_gives_new_addresses(tmp_path: Path) -> None:
    """The blueprint's option changed: rows of the old subnet must not stand in the way of new leases."""

    async def story() -> None:
        async with house(tmp_path, networks=[wire(tmp_path, subnet="10.5.0.0/24")]) as here:
            id = await here.launch("sleep", "60")
            assert await address(here, id, "bridge") == "10.5.0.2"
            await here.engine.stop(id, timeout=0)
            await another_life(here, wire(tmp_path, subnet="10.6.0.0/24"))
            await here.engine.start(id)
            assert await address(here, id, "bridge") == "10.6.0.2"
            await here.engine.stop(id, timeout=0)
            await another_life(here, wire(tmp_path, subnet="10.5.0.0/24"))
            await here.engine.start(id)
            assert await address(here, id, "bridge") == "10.5.0.2"

    run(story)


def test_the_gateway_moved_to_an_address_that_was_leased(tmp_path: Path) -> None:
    async def story() -> None:
        class Moved(Wire):
            def predefined(self):
                first, *rest = super().predefined()
                first.ipam["Config"][0]["Gateway"] = "10.5.0.2"
                return (first, *rest)

        async with house(tmp_path, networks=[wire(tmp_path, subnet="10.5.0.0/24")]) as here:
            id = await here.launch("sleep", "60")
            assert await address(here, id, "bridge") == "10.5.0.2"
            await here.engine.stop(id, timeout=0)
            await another_life(here, wire(tmp_path, Moved, subnet="10.5.0.0/24"))
            await here.engine.start(id)
            assert await address(here, id, "bridge") != "10.5.0.2"

    run(story)


def test_a_fresh_default_network_keeps_off_networks_that_are_there(tmp_path: Path) -> None:
    async def story() -> None:
        class Late(Wire):
            default = "lan"

        options = {"default_address_pools": [{"base": "10.40.0.0/22", "size": 24}]}
        async with house(tmp_path, networks=[wire(tmp_path, subnet="10.9.0.0/24")], options=options) as here:
            made = await here.engine.network_create("app")
            await another_life(here, wire(tmp_path, Late))
            lan = await here.engine.network_inspect("lan")
            assert made.ipam["Config"][0]["Subnet"] == "10.40.0.0/24"
            assert lan.ipam["Config"][0]["Subnet"] == "10.40.1.0/24"

    run(story)


def test_a_join_that_fails_at_the_second_of_three_leaves_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        cable = wire(tmp_path)
        async with house(tmp_path, networks=[cable]) as here:
            for name in ("a", "b", "c"):
                await here.engine.network_create(name)
            ends = {"EndpointsConfig": {name: {} for name in ("a", "b", "c")}}
            id = await here.create("sleep", "60", host={"NetworkMode": "a"}, NetworkingConfig=ends)
            cable.faults["attach b"] = "no copper"
            cable.steps()
            with pytest.raises(RuntimeFailed, match=r"^no copper$"):
                await here.engine.start(id)
            assert cable.steps("attach", "detach") == [
                ("attach", "a", "eth0"), ("attach", "b", "eth1"), ("detach", "a", "eth0"),
            ]  # fmt: skip
            assert cable.attached == {}
            entry = here.engine._core.get(id)
            assert entry.record.attachments == []
            assert not here.engine._core.layout.netns(id).exists()
            shown = (await here.engine.inspect(id)).network["Networks"]
            assert {name: shown[name]["IPAddress"] for name in shown} == {"a": "", "b": "", "c": ""}
            cable.faults.clear()
            await here.engine.start(id)
            assert cable.steps("attach") == [
                ("attach", "a", "eth0"), ("attach", "b", "eth1"), ("attach", "c", "eth2"),
            ]  # fmt: skip

    run(story)


def test_a_crash_in_the_middle_of_an_attach_is_undone(tmp_path: Path) -> None:
    async def story() -> None:
        cable = wire(tmp_path)
        async with house(tmp_path, networks=[cable]) as here:
            await here.engine.network_create("app")
            id = await here.create("sleep", "60", host={"NetworkMode": "app"})
            cable.faults["attach"] = HANG
            start = asyncio.create_task(here.engine.start(id))
            await cable.reached.wait()
            rows = json.loads(_state(here, id))["attachments"]
            assert [(row["name"], row["attachment"]) for row in rows] == [("app", None)]
            cable.steps()
            cable.faults.clear()
            await another_life(here, cable)
            assert cable.steps("recover", "detach") == [("recover", "0"), ("detach", "app", "nothing")]
            assert here.engine._core.get(id).record.attachments == []
            assert not here.engine._core.layout.netns(id).exists()
            start.cancel()
            await asyncio.gather(start, return_exceptions=True)
            await here.engine.start(id)
            assert await here.status(id) == "running"

    run(story)


def test_a_living_container_keeps_its_place_over_a_crash(tmp_path: Path) -> None:
    async def story() -> None:
        cable = wire(tmp_path)
        async with house(tmp_path, networks=[cable]) as here:
            await here.engine.network_create("app")
            id = await here.launch("sleep", "60", host={"NetworkMode": "app"})
            before = (await here.engine.inspect(id)).network
            await another_life(here, cable)
            assert [(e.request.container_id, e.request.network.name) for e in cable.recovered] == [
                (id, "app")
            ]
            assert (
                cable.recovered[0].attachment.ipv4
                == cable.attached[id, cable.recovered[0].request.network_id].ipv4
            )
            assert (await here.engine.inspect(id)).network == before
            await here.engine.network_connect("bridge", id, {})
            assert set((await here.engine.inspect(id)).network["Networks"]) == {"app", "bridge"}

    run(story)


def test_an_end_whose_detach_fails_does_not_haunt_the_next_start(tmp_path: Path) -> None:
    async def story() -> None:
        cable = wire(tmp_path)
        async with house(tmp_path, networks=[cable]) as here:
            await here.engine.network_create("app")
            id = await here.launch("sleep", "60", host={"NetworkMode": "app"})
            cable.faults["detach"] = "stuck"
            await here.engine.stop(id, timeout=0)
            assert await here.status(id) == "exited"
            cable.steps()
            await here.engine.start(id)
            assert cable.steps("attach", "detach") == [("detach", "app", "eth0"), ("attach", "app", "eth0")]
            assert len(here.engine._core.get(id).record.attachments) == 1
            await here.engine.stop(id, timeout=0)
            with pytest.raises(RuntimeFailed, match=r"^stuck$"):
                await here.engine.network_disconnect("app", id)
            await here.engine.network_disconnect("app", id, force=True)
            await here.engine.network_remove("app")
            assert [n.name for n in await here.engine.networks()] == ["bridge", "host", "none"]

    run(story)


def test_a_database_of_the_first_schema_is_taken_over(tmp_path: Path) -> None:
    """As moby-py wrote it before it had networks: containers and volumes, no tables of networks."""
    path = tmp_path / "old.db"
    link = sqlite3.connect(path)
    link.executescript(
        """
        CREATE TABLE containers (
            id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_ns INTEGER NOT NULL,
            intent TEXT NOT NULL, state TEXT NOT NULL) WITHOUT ROWID;
        CREATE TABLE volumes (
            name TEXT PRIMARY KEY, driver TEXT NOT NULL, created TEXT NOT NULL,
            labels TEXT NOT NULL, options TEXT NOT NULL, anonymous INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE events (
            id INTEGER PRIMARY KEY AUTOINCREMENT, time_nano INTEGER NOT NULL, type TEXT NOT NULL,
            action TEXT NOT NULL, actor TEXT NOT NULL, attributes TEXT NOT NULL);
        CREATE INDEX events_by_time ON events (time_nano);
        PRAGMA user_version = 1;
        """
    )
    id = "c" * 64
    intent = {"Image": "busybox", "Cmd": ["sleep", "60"], "HostConfig": {}, "Hostname": "old"}
    state = {
        "created": "2024-01-01T00:00:00Z", "image": "busybox", "image_id": "sha256:1", "path": "sleep",
        "args": ["60"], "status": "exited", "started_before": True, "network": {"Networks": {}},
    }  # fmt: skip
    link.execute(
        "INSERT INTO containers VALUES (?, ?, ?, ?, ?)", (id, "old", 7, json.dumps(intent), json.dumps(state))
    )
    link.execute("INSERT INTO volumes VALUES ('data', 'local', '2024-01-01T00:00:00Z', '{}', '{}', 0)")
    link.commit()
    link.close()

    db = Database(path)
    assert [(r.id, r.name, r.intent, r.endpoints, r.attachments) for r in db.containers()] == [
        (id, "old", intent, None, [])
    ]
    assert [v.name for v in db.volumes()] == ["data"]
    assert (db.networks(), db.leases()) == ([], [])
    db.close()
    assert sqlite3.connect(path).execute("PRAGMA user_version").fetchone() == (VERSION,)

    async def story() -> None:
        async with house(tmp_path, networks=[wire(tmp_path)]) as here:
            here.engine._core.db.close()
            target = here.engine._core.layout.database
            for old in target.parent.glob(f"{target.name}*"):
                old.unlink()
            path.rename(target)
            here.engine._core_if_open = None
            await here.engine.open()
            assert (await here.engine.inspect("old")).state.status == "exited"
            made = await here.engine.network_create("app")
            await here.engine.network_connect("app", "old", {"Aliases": ["o"]})
            shown = (await here.engine.inspect("old")).network["Networks"]
            assert {name: shown[name]["Aliases"] for name in shown} == {"bridge": None, "app": ["o"]}
            await here.crash()
            await here.engine.open()
            assert await here.engine.network_inspect("app") == made
            assert set((await here.engine.inspect("old")).network["Networks"]) == {"bridge", "app"}

    run(story)


def _state(here: House, id: str) -> str:
    link = sqlite3.connect(here.engine._core.layout.database)
    try:
        (state,) = link.execute("SELECT state FROM containers WHERE id = ?", (id,)).fetchone()
    finally:
        link.close()
    return str(state)
