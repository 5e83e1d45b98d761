"""journald: lines reach a real systemd-journald (a namespace of its own, started by the test)."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_house import house, run, until

from moby_components.common.logattributes import Logged
from moby_components.engine.moby.clock import rfc3339
from moby_components.engine.moby.logs.cri import format_entry
from moby_components.engine.moby.logs.journal import fields, message, pair, ship
from moby_py.errors import Unavailable
from moby_py.model import LogLine, LogOptions
from support.journal import Journal, start_journal
from support.journal import journal as running_journal

WHO = Logged(
    "0123456789abcdef" * 4, "web", "shop/web:1", "sha256:ab", "serve", {"a.b": "1", "_x": "2"}, ["E=5"]
)


@pytest.fixture
def journal() -> Iterator[Journal]:
    with running_journal() as found:
        yield found


def texts(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["MESSAGE"] for entry in entries]


async def seen(journal: Journal, id: str, count: int) -> list[dict[str, Any]]:
    """At least `count` lines of one container."""
    found: list[dict[str, Any]] = []

    async def enough() -> bool:
        found[:] = await asyncio.to_thread(journal.entries, f"CONTAINER_ID_FULL={id}")
        return len(found) >= count

    await until(enough, limit=20)
    return found


@pytest.mark.root
def test_lines_of_a_container_are_in_the_journal(tmp_path: Path, journal: Journal) -> None:
    async def work() -> None:
        async with house(tmp_path, options={"journal_socket": str(journal.socket)}) as home:
            config = {
                "Type": "journald",
                "Config": {"labels": "tier", "env": "FROM", "tag": "{{.Name}}/{{.ID}}"},
            }
            id = await home.create(
                "sh", "-c", "echo out; sleep 0.05; echo err >&2; sleep 0.05; printf 'no end'",
                name="web", Labels={"tier": "front"}, host={"LogConfig": config},
            )  # fmt: skip
            await home.engine.start(id)
            await home.engine.wait(id)
            found = await seen(journal, id, 3)
            assert texts(found) == ["out", "err", "no end"]
            assert [entry["PRIORITY"] for entry in found] == ["6", "3", "6"]
            for key, value in {
                "CONTAINER_ID": id[:12],
                "CONTAINER_NAME": "web",
                "CONTAINER_TAG": f"web/{id[:12]}",
                "SYSLOG_IDENTIFIER": f"web/{id[:12]}",
                "IMAGE_NAME": "busybox",
                "TIER": "front",
                "FROM": "image",
            }.items():
                assert found[0][key] == value, key
            assert "CONTAINER_PARTIAL_MESSAGE" not in found[0]
            assert found[2]["CONTAINER_PARTIAL_MESSAGE"] == "true"
            lines = [line async for line in home.engine.logs(id, LogOptions())]
            assert [line.text for line in lines] == [b"out\n", b"err\n", b"no end"]
            assert found[0]["SYSLOG_TIMESTAMP"] == lines[0].time
            # --rm: the last lines are sent before the log goes.
            gone = await home.create("echo", "bye", host={"LogConfig": config, "AutoRemove": True})
            await home.engine.start(gone)
            await until(lambda: gone not in home.engine._core.entries)
            assert texts(journal.entries(f"CONTAINER_ID_FULL={gone}")) == ["bye"]

    run(work, limit=60)


@pytest.mark.root
def test_nothing_is_lost_or_doubled_by_a_kill_of_the_daemon_or_of_the_journal(
    tmp_path: Path, journal: Journal
) -> None:
    script = "n=0; while [ $n -lt 40 ]; do echo line $n; n=$((n+1)); sleep 0.05; done; sleep 60"

    async def work() -> None:
        async with house(tmp_path, options={"journal_socket": str(journal.socket)}) as home:
            id = await home.launch("sh", "-c", script, host={"LogConfig": {"Type": "journald"}})
            await seen(journal, id, 5)
            await home.crash()
            await asyncio.sleep(0.2)
            home.engine = await home.reopened()
            await seen(journal, id, 15)
            await asyncio.to_thread(journal.stop)
            await asyncio.sleep(0.3)
            journal.process = (await asyncio.to_thread(start_journal, journal.namespace)).process
            found = await seen(journal, id, 40)
            assert texts(found) == [f"line {number}" for number in range(40)]
            await home.engine.remove(id, force=True)

    run(work, limit=90)


def test_without_a_journal_the_start_fails_in_dockers_words(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path, options={"journal_socket": str(tmp_path / "none")}) as home:
            id = await home.create("true", host={"LogConfig": {"Type": "journald"}})
            with pytest.raises(
                Unavailable,
                match=r"^failed to initialize logging driver: journald is not enabled on this host$",
            ):
                await home.engine.start(id)
            assert await home.status(id) == "created"

    run(work)


def test_one_datagram() -> None:
    line = LogLine(stream=2, time="2026-01-02T03:04:05Z", text=b"a\nb\n")
    assert message(b"X=1\n", line) == (
        b"X=1\nSYSLOG_TIMESTAMP=2026-01-02T03:04:05Z\nPRIORITY=3\nMESSAGE\n\3\0\0\0\0\0\0\0a\nb\n"
    )
    assert pair("A", b"b=c") == b"A=b=c\n"
    assert fields({"labels": "a.b,_x", "env": "E"}, WHO) == {
        "A_B": "1",
        "X": "2",
        "E": "5",
        "CONTAINER_ID": "0123456789ab",
        "CONTAINER_ID_FULL": WHO.id,
        "CONTAINER_NAME": "web",
        "CONTAINER_TAG": "0123456789ab",
        "IMAGE_NAME": "shop/web:1",
        "SYSLOG_IDENTIFIER": "0123456789ab",
    }


def test_a_full_socket_is_waited_for_and_a_giant_label_still_sent(tmp_path: Path) -> None:
    """A socket that nobody reads from: what the journal's looks like while it is busy."""
    log, target = tmp_path / "log", tmp_path / "socket"
    for number in range(400):
        with log.open("ab") as file:
            file.writelines(format_entry(rfc3339(10**18 + number), 1, b"line %d\n" % number))

    async def work() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
            server.bind(str(target))
            server.settimeout(5)
            task = asyncio.create_task(ship(log, tmp_path / "place", {"A": "x"}, target, None))
            await asyncio.sleep(0.2)
            assert not task.done()
            got: list[bytes] = []
            while len(got) < 400:
                got.append(await asyncio.to_thread(server.recv, 4096))
            await task
            assert [data.rpartition(b"MESSAGE=")[2] for data in got] == [b"line %d\n" % n for n in range(400)]
            await ship(log, tmp_path / "place", {"A": "x"}, target, None)
            big = {"A": "x" * (8 << 20)}
            with log.open("ab") as file:
                file.writelines(format_entry(rfc3339(10**18 + 400), 1, b"last\n"))
            await ship(log, tmp_path / "place", big, target, None)
            data, fds, _, _ = socket.recv_fds(server, 10, 4)
            assert (data, len(fds)) == (b"", 1)
            with os.fdopen(fds[0], "rb") as file:
                file.seek(0)
                assert file.read().endswith(b"MESSAGE=last\n")

    run(work, limit=30)
