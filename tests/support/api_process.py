"""Plain processes of the host, with pipes or a terminal, seen by any number of clients."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import struct
import termios
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from moby_py.errors import InvalidArgument
from moby_py.model import LogLine, Streams


def hexid() -> str:
    return uuid.uuid4().hex + uuid.uuid4().hex


def stamp(at: float | None = None) -> str:
    at = time.time() if at is None else at
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"


class Live(Streams):
    """One client's view of a `Process`."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.queue: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue(8)
        self.closed = False

    async def read(self) -> tuple[int, bytes] | None:
        return await self.queue.get()

    async def write(self, data: bytes) -> None:
        await self.process.feed(data)

    async def close_stdin(self) -> None:
        self.process.end_input()

    async def close(self) -> None:
        self.closed = True
        self.process.clients.discard(self)
        while not self.queue.empty():
            self.queue.get_nowait()


class Process:
    """argv with pipes or a terminal; output goes to all clients and to `log`."""

    def __init__(self) -> None:
        self.clients: set[Live] = set()
        self.log: list[LogLine] = []
        self.started = asyncio.Event()
        self.ended = asyncio.Event()
        self.code = 0
        self.pid = 0
        self.size = (0, 0)
        self._master = -1
        self._stdin: asyncio.StreamWriter | None = None
        self._proc: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None

    def attach(self) -> Live:
        live = Live(self)
        if self.ended.is_set():
            live.queue.put_nowait(None)
        else:
            self.clients.add(live)
        return live

    async def start(self, argv: list[str], env: dict[str, str], *, tty: bool, stdin: bool) -> None:
        extra: dict[str, Any] = {}
        if tty:
            self._master, slave = pty.openpty()
            extra = {"stdin": slave, "stdout": slave, "stderr": slave}
        else:
            wanted = asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL
            extra = {"stdin": wanted, "stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
        try:
            self._proc = await asyncio.create_subprocess_exec(*argv, env=env, start_new_session=True, **extra)
        except FileNotFoundError:
            if tty:
                os.close(self._master)
            raise InvalidArgument(
                f'exec: "{argv[0]}": executable file not found in $PATH: no such file or directory'
            ) from None
        finally:
            if tty:
                os.close(slave)
        self.pid = self._proc.pid
        self.started.set()
        self._task = asyncio.create_task(self._run(tty))

    async def _run(self, tty: bool) -> None:
        assert self._proc is not None
        if tty:
            await self._read_master()
            await self._proc.wait()
            os.close(self._master)
            self._master = -1
        else:
            await asyncio.gather(self._read(self._proc.stdout, 1), self._read(self._proc.stderr, 2))
            await self._proc.wait()
        code = self._proc.returncode or 0
        self.code = 128 - code if code < 0 else code
        self.ended.set()
        for client in tuple(self.clients):
            await client.queue.put(None)

    async def _read_master(self) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        os.set_blocking(self._master, False)
        loop.add_reader(self._master, ready.set)
        try:
            while True:
                await ready.wait()
                ready.clear()
                try:
                    data = os.read(self._master, 65536)
                except BlockingIOError:
                    continue
                except OSError:
                    return
                await self._emit(1, data)
        finally:
            loop.remove_reader(self._master)

    async def _read(self, pipe: Any, stream: int) -> None:
        while data := await pipe.read(65536):
            await self._emit(stream, data)

    async def _emit(self, stream: int, data: bytes) -> None:
        if len(self.log) < 1000:
            self.log += [LogLine(stream=stream, time=stamp(), text=t) for t in data.splitlines(True)]
        for client in tuple(self.clients):
            if not client.closed:
                await client.queue.put((stream, data))

    async def feed(self, data: bytes) -> None:
        await self.started.wait()
        if self._master >= 0:
            os.write(self._master, data)
        elif self._proc and self._proc.stdin:
            self._proc.stdin.write(data)
            await self._proc.stdin.drain()

    def end_input(self) -> None:
        async def end() -> None:
            await self.started.wait()
            if self._proc and self._proc.stdin:
                self._proc.stdin.close()

        self._closer = asyncio.ensure_future(end())

    def kill(self, number: int) -> None:
        if self.pid and not self.ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def resize(self, height: int, width: int) -> None:
        self.size = (height, width)
        if self._master >= 0:
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
