"""Logs whose older files are compressed: rotated, read, followed, cut short by a kill."""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine_house import run, until

from moby_components.common.logattributes import Logged, attributes, details, tag
from moby_components.engine.moby.clock import rfc3339
from moby_components.engine.moby.logs.cri import format_entry
from moby_components.engine.moby.logs.files import open_all, packed, rotated
from moby_components.engine.moby.logs.packed import pack
from moby_components.engine.moby.logs.reader import read_log
from moby_components.engine.moby.logs.rotate import Rotator, shift
from moby_components.engine.moby.rendering.logconfig import LogPlan, log_plan
from moby_py.errors import InvalidArgument
from moby_py.model import LogOptions

WHO = Logged("0123456789abcdef", "web", "shop/web:1", "sha256:fedcba9876543210", "serve -x",
             {"a": "1", "app.x": "2 3", "b": "4"}, ["E=5", "PATH=/bin"])  # fmt: skip


def entry(number: int) -> bytes:
    text = b"line %d\n" % number
    return b"".join(format_entry(rfc3339(1_767_000_000_000_000_000 + number * 1_000_000), 1, text))


def write(log: Path, *numbers: int) -> None:
    with log.open("ab") as file:
        file.writelines(entry(number) for number in numbers)


async def read(log: Path, **options: Any) -> list[int]:
    return [int(line.text.split()[1]) async for line in read_log(log, LogOptions(**options))]


def test_a_packed_file_is_gzip_and_reads_as_before(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write(rotated(log, 2), *range(3000))
    write(rotated(log, 1), *range(3000, 6000))
    write(log, *range(6000, 6010))
    whole = rotated(log, 2).read_bytes()
    descriptors = len(os.listdir("/proc/self/fd"))
    for number in (1, 2):
        pack(rotated(log, number), packed(log, number))
        assert not rotated(log, number).exists()
    assert gzip.decompress(packed(log, 2).read_bytes()) == whole
    assert packed(log, 2).stat().st_size < len(whole) / 4
    assert asyncio.run(read(log)) == list(range(6010))
    assert asyncio.run(read(log, tail=4000)) == list(range(2010, 6010))
    assert asyncio.run(read(log, tail=5)) == list(range(6005, 6010))
    begin = 1_767_000_000
    assert asyncio.run(read(log, since=begin + 2.5, until=begin + 3.5)) == list(range(2500, 3501))
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1.gz", "log.2.gz"]


def test_both_forms_of_one_file_are_read_once(tmp_path: Path) -> None:
    """A kill between the packing's end and the plain file's."""
    log = tmp_path / "log"
    write(rotated(log, 1), *range(10))
    write(log, *range(10, 20))
    plain = rotated(log, 1).read_bytes()
    pack(rotated(log, 1), packed(log, 1))
    rotated(log, 1).write_bytes(plain)
    assert asyncio.run(read(log)) == list(range(20))
    shift(log, 4)
    assert asyncio.run(read(log)) == list(range(20))
    assert not packed(log, 1).exists()


def test_shift_moves_packed_files_and_drops_the_oldest(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for number in range(6):
        write(log, number)
        shift(log, 4)
        pack(rotated(log, 1), packed(log, 1))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.1.gz", "log.2.gz", "log.3.gz"]
    assert asyncio.run(read(log)) == [3, 4, 5]


def test_a_damaged_packed_file_ends_and_the_rest_is_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write(rotated(log, 1), *range(5000))
    write(log, 5000)
    pack(rotated(log, 1), packed(log, 1))
    whole = packed(log, 1).read_bytes()
    packed(log, 1).write_bytes(whole[: len(whole) // 2])
    found = asyncio.run(read(log))
    assert found[-1] == 5000
    assert 0 < len(found) < 5000
    packed(log, 1).write_bytes(b"no gzip at all")
    assert asyncio.run(read(log)) == [5000]


def test_a_follower_loses_nothing_and_sees_nothing_twice_while_files_are_packed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    dice = random.Random(3)

    async def work() -> None:
        ended: list[Callable[[], None]] = []
        seen: list[int] = []

        async def follow() -> None:
            async for line in read_log(log, LogOptions(follow=True), on_end=ended.append):
                seen.append(int(line.text.split()[1]))
                if dice.random() < 0.05:
                    await asyncio.sleep(0.003)  # slower than the writer: it falls behind by files

        number = 0
        write(log, number)
        reader = asyncio.create_task(follow())
        await until(lambda: seen == [0])
        for _ in range(25):
            for _ in range(dice.randrange(1, 40)):
                number += 1
                write(log, number)
            shift(log, 100)
            await asyncio.sleep(0)
            number += 1
            write(log, number)
            await asyncio.to_thread(pack, rotated(log, 1), packed(log, 1))
            if dice.random() < 0.5:
                await asyncio.sleep(0.01)
        ended[0]()
        await reader
        assert seen == list(range(number + 1))

    run(work)


def test_the_rotator_packs_once_the_monitor_has_let_go(tmp_path: Path) -> None:
    log = tmp_path / "c" / "log"
    log.parent.mkdir()

    async def work() -> None:
        tasks: set[asyncio.Task[None]] = set()

        def spawn(work: Any, name: str) -> None:
            tasks.add(asyncio.create_task(work, name=name))

        asked = asyncio.Event()

        async def reopen() -> None:
            asked.set()

        rotator = Rotator(spawn)
        rotator.watch("id", log, LogPlan(max_size=200, files=3, compress=True), reopen)
        write(log, *range(10))
        await asked.wait()
        await asyncio.sleep(0.05)
        assert sorted(path.name for path in log.parent.iterdir()) == ["log.1"]
        write(rotated(log, 1), 10)  # the monitor still has it
        write(log, 11)
        await until(packed(log, 1).exists)
        await until(lambda: not rotated(log, 1).exists())
        assert await read(log) == list(range(12))
        await asyncio.gather(*tasks)
        rotator.close()

    run(work)


def test_open_files_are_known_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write(log, 1)
    (first,) = open_all(log)
    shift(log, 3)
    write(log, 2)
    pack(rotated(log, 1), packed(log, 1))
    newer = open_all(log, newer_than=first)
    assert [file.inode for file in newer] == [log.stat().st_ino]
    for file in (first, *newer):
        file.close()


# -- what was asked for ----------------------------------------------------------------------------


def plan(kind: str, **config: str) -> LogPlan:
    options = {key.replace("_", "-"): value for key, value in config.items()}
    return log_plan({"LogConfig": {"Type": kind, "Config": options}})


def test_what_drivers_take() -> None:
    assert plan("json-file", max_size="1m", max_file="3", compress="true") == LogPlan(True, 1 << 20, 3, True)
    assert plan("json-file", mode="non-blocking", max_buffer_size="4m") == LogPlan()
    assert plan("json-file", labels="a", env="b", tag="{{.Name}}").settings["labels"] == "a"
    assert plan("local", compress="false") == LogPlan(True, 20 << 20, 5, False, "local")
    assert plan("local", max_file="1") == LogPlan(True, 20 << 20, 1, False, "local")
    assert plan("journald", tag="x") == LogPlan(True, 20 << 20, 5, True, "journald")
    assert plan("journald", cache_max_size="1m", cache_max_file="2", cache_compress="0") == LogPlan(
        True, 1 << 20, 2, False, "journald"
    )


@pytest.mark.parametrize(
    ("kind", "config", "text"),
    [
        ("json-file", {"mode": "x"}, "logger: logging mode not supported: x"),
        (
            "json-file",
            {"max_buffer_size": "1m"},
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
        ),
        (
            "local",
            {"mode": "non-blocking", "max_buffer_size": "x"},
            "error parsing option max-buffer-size: invalid size: 'x'",
        ),
        (
            "json-file",
            {"compress": "true"},
            "compress cannot be true when max-file is less than 2 or max-size is not set",
        ),
        (
            "json-file",
            {"compress": "perhaps"},
            "invalid log opt 'compress' - 'perhaps' is neither true nor false",
        ),
        ("json-file", {"max_size": "0"}, "max-size must be a positive number"),
        (
            "local",
            {"compress": "true", "max_file": "1"},
            "compression cannot be enabled when max file count is 1",
        ),
        ("local", {"labels": "a"}, "unknown log opt 'labels' for log driver local"),
        ("journald", {"max_size": "1m"}, "unknown log opt 'max-size' for journald log driver"),
        ("json-file", {"tag": "{{.Nope}}"}, "invalid log opt 'tag' - there is no field .Nope"),
        (
            "journald",
            {"tag": "{{ if .ID }}"},
            "invalid log opt 'tag' - '{{ if .ID }}' is no template that can be filled in",
        ),
    ],
)
def test_what_they_refuse(kind: str, config: dict[str, str], text: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^{re.escape(text)}$"):
        plan(kind, **config)


def test_a_wrong_expression_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"^invalid log opt 'labels-regex' - "):
        plan("json-file", labels_regex="(")


def test_tags_and_attributes() -> None:
    assert tag("{{.ID}}/{{ .Name }}/{{.ImageName}}", WHO) == "0123456789ab/web/shop/web:1"
    assert tag("{{.FullID}} {{.ImageID}} {{.Command}}", WHO) == "0123456789abcdef fedcba987654 serve -x"
    assert attributes({"labels": "a,none", "env": "E"}, WHO) == {"a": "1", "E": "5"}
    assert attributes({"labels-regex": "^app", "env-regex": "^P"}, WHO) == {"app.x": "2 3", "PATH": "/bin"}
    assert details({"labels": "app.x,a", "tag": "{{.Name}}"}, WHO) == "a=1,app.x=2+3,tag=web"
    assert details({}, WHO) == ""
