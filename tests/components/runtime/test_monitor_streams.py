"""The attach client against a monitor of the test's own: what conmon does at its worst."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from moby_components.common.monitor import Task, TaskDir, connect
from moby_components.common.monitor.streams import LARGEST_INPUT
from moby_py.errors import Conflict


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """A directory whose socket's path does not fit into a sockaddr."""
    path = tmp_path / ("d" * 120)
    path.mkdir()
    return path


@pytest.fixture
def server(deep: Path) -> Iterator[socket.socket]:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    fd = os.open(deep, os.O_PATH)
    listener.bind(f"/proc/self/fd/{fd}/attach")
    os.close(fd)
    listener.listen(1)
    yield listener
    listener.close()


def test_queued_output_survives_a_monitor_that_ends_with_our_input_unread(
    deep: Path, server: socket.socket
) -> None:
    """The kernel answers ECONNRESET first; the bytes are behind it."""

    async def work() -> list[tuple[int, bytes]]:
        streams = await connect(deep, stdin=True)
        peer, _ = server.accept()
        await streams.write(b"never read")
        for number in range(5):
            peer.send(b"\x02out%d" % number)
        peer.send(b"\x03err")
        peer.close()
        seen = []
        while (piece := await streams.read()) is not None:
            seen.append(piece)
        assert await streams.read() is None
        await streams.write(b"nobody")  # silently nothing
        await streams.close_stdin()
        await streams.close()
        await streams.close()
        return seen

    assert asyncio.run(work()) == [(1, b"out%d" % n) for n in range(5)] + [(2, b"err")]


def test_input_is_cut_into_packets_and_waits_for_its_reader(deep: Path, server: socket.socket) -> None:
    data = os.urandom(3 << 20)

    async def work() -> tuple[bytes, int]:
        streams = await connect(deep, stdin=True)
        peer, _ = server.accept()
        writing = asyncio.create_task(streams.write(data))
        await asyncio.sleep(0.05)
        assert not writing.done()  # nobody reads: it waits and buffers nothing
        got, largest = bytearray(), 0
        while len(got) < len(data):
            packet = await asyncio.to_thread(peer.recv, 1 << 20)
            largest = max(largest, len(packet))
            got += packet
        await writing
        await streams.close_stdin()
        assert peer.recv(10) == b""
        peer.send(b"\x02still")
        assert await streams.read() == (1, b"still")
        await streams.close()
        peer.close()
        return bytes(got), largest

    got, largest = asyncio.run(work())
    assert got == data
    assert largest == LARGEST_INPUT


def test_without_a_stdin_nothing_is_ever_sent(deep: Path, server: socket.socket) -> None:
    async def work() -> None:
        streams = await connect(deep, stdin=False)
        peer, _ = server.accept()
        await streams.write(b"into the void")
        await streams.close_stdin()
        peer.setblocking(False)
        with pytest.raises(BlockingIOError):
            peer.recv(100)
        peer.close()
        await streams.close()

    asyncio.run(work())


def test_closing_wakes_a_reader(deep: Path, server: socket.socket) -> None:
    async def work() -> None:
        streams = await connect(deep, stdin=True)
        reading = asyncio.create_task(streams.read())
        await asyncio.sleep(0.01)
        await streams.close()
        assert await asyncio.wait_for(reading, 1) is None

    asyncio.run(work())


def test_a_full_backlog_is_waited_for(deep: Path, server: socket.socket) -> None:
    async def work() -> None:
        clients = [asyncio.create_task(connect(deep, stdin=False)) for _ in range(6)]
        await asyncio.sleep(0.05)
        assert not all(client.done() for client in clients)
        peers = []
        for _ in clients:
            peers.append((await asyncio.to_thread(server.accept))[0])
        for client in clients:
            await (await client).close()
        for peer in peers:
            peer.close()

    asyncio.run(work())


def test_nobody_there_is_a_conflict(deep: Path) -> None:
    with pytest.raises(Conflict) as caught:
        asyncio.run(connect(deep, stdin=False))
    assert caught.value.message == "cannot attach - the process has ended"


def test_a_task_speaks_conmons_control_lines(tmp_path: Path) -> None:
    where = TaskDir(tmp_path / "t", "t")
    where.make()
    os.mkfifo(where.ctl)
    where.commit(tty=True)
    task = Task.adopt(where)
    assert task is not None
    task.resize(1, 1)  # nobody reads the fifo: nothing, and no hanging
    reader = os.open(where.ctl, os.O_RDONLY | os.O_NONBLOCK)
    task.resize(24, 5000)
    task.reopen_log()
    assert os.read(reader, 200) == b"1 24 1000\n2 0 0\n"
    os.close(reader)
    where.exit_file.write_text("137")
    where.oom.touch()
    status = task.exit()
    assert status is not None
    assert (status.code, status.oom_killed) == (137, True)
    assert asyncio.run(task.wait()) == status
    (where.path / "task.json").unlink()
    assert Task.adopt(where) is None
