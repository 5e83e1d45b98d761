"""Reading CRI logs: tail, since, until, rotated files; following without polling; rotation."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from engine_house import house, run, until
from hypothesis import given, settings
from hypothesis import strategies as st

from moby_components.engine.moby.clock import nanoseconds, rfc3339
from moby_components.engine.moby.logs.cri import Parser, format_entry
from moby_components.engine.moby.logs.files import rotated
from moby_components.engine.moby.logs.reader import read_log
from moby_components.engine.moby.logs.rotate import shift
from moby_py.model import LogLine, LogOptions

STAMP = "2026-01-02T03:04:0{}.000000000+00:00"


def entries(*lines: bytes, second: int = 5, stream: int = 1) -> bytes:
    return b"".join(b"".join(format_entry(STAMP.format(second), stream, line)) for line in lines)


async def collect(log: Path, **options: object) -> list[bytes]:
    return [line.text async for line in read_log(log, LogOptions(**options))]  # type: ignore[arg-type]


def test_one_entry() -> None:
    parse = Parser().parse
    assert parse(b"2026-01-02T03:04:05.123456789+00:00 stdout F a b") == LogLine(
        stream=1, time="2026-01-02T03:04:05.123456789Z", text=b"a b\n"
    )
    assert parse(b"2026-01-02T05:04:05.5+02:00 stderr P half") == LogLine(
        stream=2, time="2026-01-02T03:04:05.500000000Z", text=b"half"
    )
    assert parse(b"2026-01-02T03:04:05Z stdout F ") == LogLine(
        stream=1, time="2026-01-02T03:04:05Z", text=b"\n"
    )
    for junk in (b"", b"x", b"2026 stdin F x", b"when stdout F x", b"2026-01-02T03:04:05Z stdout"):
        assert parse(junk) is None


def test_clock() -> None:
    for text in ("2026-01-02T03:04:05.123456789Z", "1969-12-31T23:59:59.000000001Z"):
        assert rfc3339(nanoseconds(text)) == text
    assert nanoseconds("0001-01-01T00:00:00Z") == 0
    assert nanoseconds("1970-01-01T01:00:00.5+01:00") == 500_000_000


@given(st.lists(st.binary(max_size=40), max_size=20), st.integers(-1, 25), st.integers(0, 2))
@settings(max_examples=60, deadline=None)
def test_tail_is_the_end_of_what_was_written(written: list[bytes], tail: int, older: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        cut = len(written) * (2 - older) // 3 if older else 0
        for path, part in ((rotated(log, 1), written[:cut]), (log, written[cut:])):
            path.write_bytes(entries(*(line.replace(b"\n", b"") + b"\n" for line in part)))
        everything = [line.replace(b"\n", b"") + b"\n" for line in written]
        expected = everything if tail < 0 else everything[len(everything) - min(tail, len(everything)) :]
        assert asyncio.run(collect(log, tail=tail)) == expected


def test_pieces_of_a_line_count_as_one(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(entries(b"one\n", b"tw", b"o\n", b"thr"))
    assert asyncio.run(collect(log)) == [b"one\n", b"tw", b"o\n", b"thr"]
    assert asyncio.run(collect(log, tail=2)) == [b"tw", b"o\n", b"thr"]
    assert asyncio.run(collect(log, tail=0)) == []


def test_a_line_longer_than_a_block(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(entries(b"a\n", b"x" * 200_000 + b"\n", b"b\n"))
    assert [len(text) for text in asyncio.run(collect(log, tail=2))] == [200_001, 2]


def test_since_until_and_streams(tmp_path: Path) -> None:
    log = tmp_path / "log"
    rotated(log, 1).write_bytes(entries(b"1\n", second=1) + entries(b"2\n", second=2, stream=2))
    log.write_bytes(entries(b"3\n", second=3) + entries(b"4\n", second=4))
    at = nanoseconds(STAMP.format(0)) / 1e9
    assert asyncio.run(collect(log, since=at + 2, until=at + 3)) == [b"2\n", b"3\n"]
    assert asyncio.run(collect(log, stderr=False)) == [b"1\n", b"3\n", b"4\n"]
    assert asyncio.run(collect(log, stdout=False)) == [b"2\n"]


def test_no_log_yet_is_an_empty_log(tmp_path: Path) -> None:
    assert asyncio.run(collect(tmp_path / "log")) == []


def test_follow_reads_on_across_rotations_and_ends_with_the_run(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(entries(b"0\n"))
    before = len(os.listdir("/proc/self/fd"))

    async def work() -> None:
        ended: list[Callable[[], None]] = []
        seen: list[bytes] = []

        async def follow() -> None:
            async for line in read_log(log, LogOptions(follow=True), on_end=ended.append):
                seen.append(line.text)

        reader = asyncio.create_task(follow())
        await until(lambda: seen == [b"0\n"])
        fd = os.open(log, os.O_WRONLY | os.O_APPEND)
        for number in range(1, 30):
            os.write(fd, entries(b"%d\n" % number))
            if number % 7 == 0:
                shift(log, 3)
                os.write(fd, entries(b"late %d\n" % number))  # the monitor has not reopened yet
                await asyncio.sleep(0.02)
                os.close(fd)
                fresh = log.with_name("log.tmp")
                fresh.touch()
                fresh.rename(log)
                fd = os.open(log, os.O_WRONLY | os.O_APPEND)
            if number % 3 == 0:
                await asyncio.sleep(0.005)
        os.write(fd, entries(b"last\n"))
        os.close(fd)
        ended[0]()
        await reader
        numbers = [text for text in seen if not text.startswith(b"late")]
        assert numbers == [b"%d\n" % n for n in range(30)] + [b"last\n"]
        assert [t for t in seen if t.startswith(b"late")] == [b"late %d\n" % n for n in (7, 14, 21, 28)]

    run(work)
    assert len(os.listdir("/proc/self/fd")) == before


def test_follow_ends_at_until(tmp_path: Path) -> None:
    import time

    log = tmp_path / "log"
    log.touch()

    async def work() -> None:
        options = LogOptions(follow=True, until=time.time() + 0.05)
        assert [line async for line in read_log(log, options, on_end=lambda _: None)] == []

    run(work, limit=5)


def test_rotation_is_asked_for_when_the_log_passes_its_limit(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            config = {"Type": "json-file", "Config": {"max-size": "1k", "max-file": "3"}}
            id = await home.launch(
                "sh", "-c", "while read line; do seq 40; done", OpenStdin=True, host={"LogConfig": config}
            )
            log = home.engine._core.layout.log(id)
            stdin = await home.engine.attach(id, _with_stdin())
            for count in (1, 2, 3):
                await stdin.write(b"go\n")
                await until(lambda count=count: home.runtime.tasks[id].reopened >= count)  # type: ignore[misc]
            await stdin.close()
            assert rotated(log, 1).stat().st_size >= 1024
            assert rotated(log, 2).stat().st_size >= 1024
            assert not rotated(log, 3).exists()
            await home.engine.remove(id, force=True)

    run(work)


def _with_stdin() -> object:
    from moby_py.model import AttachOptions

    return AttachOptions(stdin=True, stdout=False, stderr=False)
