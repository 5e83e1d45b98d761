"""The daemon is killed at any moment: what lives is adopted, what is half-done is undone."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from engine_house import House, house, run, until

from moby_components.common import mounts
from moby_components.engine.moby.db import KEPT_EVENTS, Database
from moby_py.errors import DataError, Unavailable
from moby_py.model import Event


async def killed(home: House) -> None:
    """SIGKILL and a new daemon, on the same directories and the same live processes."""
    await home.crash()
    home.engine = await home.reopened()


def test_a_running_container_is_adopted_with_its_exit_code(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.launch("sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.02; done", name="web")
            pid = (await home.engine.inspect(id)).state.pid
            await killed(home)
            shown = await home.engine.inspect("web")
            assert (shown.id, shown.state.status, shown.state.pid) == (id, "running", pid)
            await asyncio.sleep(0.05)
            await home.engine.stop("web")
            assert (await home.engine.inspect("web")).state.exit_code == 7

    run(work)


def test_what_ended_meanwhile_has_its_exit_code(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.launch("sh", "-c", "sleep 0.1; exit 9")
            again = await home.launch(
                "sh",
                "-c",
                "sleep 0.1; exit 9",
                host={"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 1}},
            )
            gone = await home.launch("sleep", "0.1", host={"AutoRemove": True})
            await home.crash()
            await asyncio.sleep(0.3)
            home.engine = await home.reopened()
            shown = await home.engine.inspect(id)
            assert (shown.state.status, shown.state.exit_code) == ("exited", 9)
            assert "die" in await home.happened(id)
            await until(lambda: gone not in home.engine._core.entries)
            await until(lambda: home.engine._core.get(again).record.restart_count == 1)
            assert (await home.engine.wait(again))[0] == 9

    run(work)


def test_nothing_known_of_it_any_more(tmp_path: Path) -> None:
    """A reboot: the runtime's directories are gone."""

    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.launch("sleep", "60")
            await home.crash()
            await home.runtime.delete(id)
            home.engine = await home.reopened()
            shown = await home.engine.inspect(id)
            assert (shown.state.status, shown.state.exit_code) == ("exited", 255)

    run(work)


@pytest.mark.parametrize("moment", ["prepare", "attach", "create", "start"])
def test_a_half_done_start_is_undone(tmp_path: Path, moment: str) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.create("sleep", "60", host={"Binds": ["db:/data"]})
            from moby_components.network.none import NoNetwork

            place: Any = {
                "prepare": home.store,
                "attach": home.wiring[NoNetwork],
                "create": home.runtime,
                "start": home.runtime,
            }[moment]
            reached = asyncio.Event()
            real = getattr(place, moment)

            async def stuck(*args: Any, **kwargs: Any) -> Any:
                result = await real(*args, **kwargs) if moment != "start" else None
                reached.set()
                await asyncio.get_running_loop().create_future()
                return result

            setattr(place, moment, stuck)
            starting = asyncio.ensure_future(home.engine.start(id))
            await reached.wait()
            # The daemon dies here: its task never runs on, so none of its own undoing happens.
            frozen = home.engine
            frozen._core.db.close()
            setattr(place, moment, real)
            home.engine = await home.reopened()
            shown = await home.engine.inspect(id)
            assert (shown.state.status, shown.state.pid) == ("created", 0)
            assert home.runtime.tasks == {}
            assert mounts.mounted_under(home.run) == []
            assert [p for p in (tmp_path / "run/engine").rglob("*") if id in p.name] == []
            await home.engine.start(id)
            await home.engine.remove(id, force=True)
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)

    run(work)


def test_started_but_not_noted(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.launch("sleep", "60")
            record = home.engine._core.get(id).record
            record.status, record.starting, record.pid = "created", True, 0
            home.engine._core.save(home.engine._core.get(id))
            await killed(home)
            assert await home.status(id) == "running"
            await home.engine.remove(id, force=True)

    run(work)


def test_killed_while_an_end_is_cleaned_up(tmp_path: Path) -> None:
    """The runtime has forgotten the container; the exit code was written down before."""

    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.launch("sleep", "60")
            entry = home.engine._core.get(id)
            entry.record.ending = [42, 1_800_000_000_000_000_000, True, ""]
            home.engine._core.save(entry)
            await home.crash()
            await home.runtime.delete(id)
            home.engine = await home.reopened()
            shown = await home.engine.inspect(id)
            assert (shown.state.exit_code, shown.state.oom_killed) == (42, True)
            assert shown.state.finished_at == "2027-01-15T08:00:00.000000000Z"

    run(work)


def test_a_removal_is_finished_and_strangers_are_swept(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.create("true")
            await home.output(id)
            entry = home.engine._core.get(id)
            entry.move("removal")
            home.engine._core.save(entry)
            stranger = await home.launch("sleep", "60")
            home.engine._core.db.forget(stranger)
            (home.run / "files" / ("9" * 64)).mkdir()
            await killed(home)
            assert await home.engine.list(all=True) == []
            assert home.runtime.tasks == {}
            assert mounts.mounted_under(home.run) == []
            assert [p for p in (tmp_path / "run/engine").rglob("*") if len(p.name) == 64] == []
            assert not home.store.writable(id).exists()

    run(work)


def test_shutdown_and_up_again(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            policies = {
                name: {"RestartPolicy": {"Name": name}} for name in ("no", "always", "unless-stopped")
            }
            ids = {name: await home.launch("sleep", "60", host=host) for name, host in policies.items()}
            halted = await home.launch("sleep", "60", host=policies["unless-stopped"])
            await home.engine.stop(halted, timeout=0)
            removed = await home.launch("sleep", "60", host={"AutoRemove": True})
            await home.engine.shutdown()
            assert removed not in [c.id for c in await home.engine.list(all=True)]
            assert {(await home.status(id)) for id in ids.values()} == {"exited"}
            await home.engine.close()
            home.engine = await home.reopened()

            async def up() -> bool:
                return [await home.status(ids[n]) for n in ("always", "unless-stopped")] == ["running"] * 2

            await until(up)
            assert (await home.status(ids["no"]), await home.status(halted)) == ("exited", "exited")
            for id in (ids["always"], ids["unless-stopped"]):
                await home.engine.remove(id, force=True)

    run(work)


def test_database(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    db = Database(path)
    assert path.stat().st_mode & 0o777 == 0o600
    for number in range(KEPT_EVENTS + 600):
        db.add_event(number, "container", "x", "a", {})
    kept = db.events(0, 0)
    assert KEPT_EVENTS <= len(kept) <= KEPT_EVENTS + 256
    assert kept[-1] == Event(
        id=KEPT_EVENTS + 600, time_nano=KEPT_EVENTS + 599, type="container", action="x", actor="a"
    )
    db.close()
    with sqlite3.connect(path) as link:
        link.execute("PRAGMA user_version = 99")
    link.close()
    with pytest.raises(Unavailable, match=r"has schema version 99 - this moby-py knows up to 2$"):
        Database(path)
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(DataError, match=r"is damaged - file is not a database$"):
        Database(path)
