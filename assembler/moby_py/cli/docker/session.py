"""One terminal (or pipe) joined to one process over a hijacked connection: run, attach, exec, start -a.

A single loop waits for everything with poll(2): our stdin, the connection, signals (through a
wake-up pipe), and the answer of /wait. Output never waits for input or the other way round.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
from collections.abc import Callable
from typing import Any

from moby_py.cli.docker.frames import Demultiplexer
from moby_py.cli.docker.http import Response
from moby_py.cli.docker.terminal import Raw, size
from moby_py.detach_keys import DetachFilter
from moby_py.errors import MobyError

PIECE = 64 * 1024
PATIENCE = 3
"""Ctrl-c this often leaves a container that does not care; docker's number."""
NOT_FORWARDED = {
    *("SIGCHLD", "SIGCLD", "SIGKILL", "SIGSTOP", "SIGPIPE", "SIGURG", "SIGWINCH", "SIGTSTP", "SIGTTIN"),
    *("SIGTTOU", "SIGCONT", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGIOT", "SIGTRAP"),
    *("SIGSYS", "SIGPROF", "SIGVTALRM", "SIGALRM", "SIGXCPU", "SIGXFSZ"),
}


class Session:
    """`stream`: the 101 answer. `waiting`: an open /wait answer, if the exit code is wanted."""

    def __init__(
        self,
        stream: Response,
        *,
        tty: bool,
        stdin: bool,
        waiting: Response | None = None,
        detach_keys: bytes = b"\x10\x11",
        resize: Callable[[int, int], Any] | None = None,
        kill: Callable[[str], Any] | None = None,
    ) -> None:
        self.stream = stream
        self.waiting = waiting
        self.tty = tty
        self.stdin = stdin
        self.exit_code: int | None = None
        self.error = ""
        self.detached = False
        self._keys = DetachFilter(detach_keys) if tty and stdin else None
        self._demux = None if tty else Demultiplexer()
        self._resize = resize
        self._kill = kill
        self._pending = b""
        self._half_closed = False
        self._ended = False
        self._wishes_to_leave = 0
        self._raw: Raw | None = None

    def run(self, begin: Callable[[], object] | None = None) -> None:
        """Until the output has ended (and the exit code is known), or the user detaches. `begin` is
        called when everything listens."""
        sock = self.stream.wire.sock
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        handlers = self._signals(writer)
        try:
            if begin is not None:
                begin()
            if self.tty:
                if self.stdin:
                    self._raw = Raw(0)
                self._tell_size()
            if self.stream.wire.buffer:
                early, self.stream.wire.buffer = self.stream.wire.buffer, b""
                self._output(early)
            sock.setblocking(False)
            self._loop(sock.fileno(), reader)
        finally:
            if self._raw is not None:
                self._raw.restore()
            signal.set_wakeup_fd(-1)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            os.close(reader)
            os.close(writer)
            self.stream.close()
            if self.waiting is not None:
                self.waiting.close()

    def _signals(self, writer: int) -> dict[int, Any]:
        """Catch what is to be passed on; each number arrives in the pipe as one byte."""
        numbers = [signal.SIGWINCH] if self.tty else []
        if self._kill is not None:
            numbers += [s for s in signal.Signals if s.name not in NOT_FORWARDED and s < signal.SIGRTMIN]
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        return {number: signal.signal(number, lambda *_: None) for number in numbers}

    def _loop(self, sock: int, wake: int) -> None:
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        if self.waiting is not None:
            poll.register(self.waiting.wire.sock, select.POLLIN)
            if self.waiting.wire.buffer:
                self._answered(poll)
        while not self.detached and not (self._ended and self.waiting is None):
            reading = self.stdin and not self._pending
            if not self._ended:
                poll.register(sock, select.POLLIN | (select.POLLOUT if self._pending else 0))
            with contextlib.suppress(OSError, KeyError):
                poll.register(0, select.POLLIN) if reading else poll.unregister(0)
            for fd, _ in poll.poll():
                if fd == wake:
                    self._woken(os.read(wake, 4096))
                elif fd == sock:
                    self._socket(poll)
                elif fd == 0:
                    self._typed()
                else:
                    self._answered(poll)

    def _socket(self, poll: Any) -> None:
        sock = self.stream.wire.sock
        if self._pending:
            try:
                self._pending = self._pending[sock.send(self._pending) :]
            except BlockingIOError:
                pass
            except OSError:
                self._pending, self.stdin = b"", False
            self._half_close()
        try:
            data = sock.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._output(data)
        else:
            self._ended = True
            poll.unregister(sock)

    def _typed(self) -> None:
        try:
            data = os.read(0, PIECE)
        except OSError:
            data = b""
        if not data:
            self.stdin = False
            self._half_close()
            return
        if self._keys is not None:
            data = self._keys.feed(data)
            self.detached = self._keys.hit
        self._pending += data

    def _half_close(self) -> None:
        if not self.stdin and not self._pending and not self._half_closed:
            self._half_closed = True
            with contextlib.suppress(OSError):
                self.stream.wire.sock.shutdown(1)

    def _output(self, data: bytes) -> None:
        pieces = [(1, data)] if self._demux is None else self._demux.feed(data)
        for stream, piece in pieces:
            write(2 if stream == 2 else 1, piece)

    def _woken(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signal.SIGWINCH:
                self._tell_size()
            elif self._kill is not None:
                with contextlib.suppress(Exception):
                    self._kill(signal.Signals(number).name)
                self._wishes_to_leave += number in (signal.SIGINT, signal.SIGTERM)
                if self._wishes_to_leave == PATIENCE:
                    raise MobyError(
                        f"the container has not ended after {PATIENCE} signals - it is left running",
                        hint="`kill` ends it whatever it does with signals",
                    )

    def _tell_size(self) -> None:
        found = size(1) or size(0)
        if found and self._resize is not None:
            with contextlib.suppress(Exception):
                self._resize(*found)

    def _answered(self, poll: Any) -> None:
        waiting, self.waiting = self.waiting, None
        if waiting is None:
            return
        poll.unregister(waiting.wire.sock)
        try:
            answer = json.loads(waiting.read())
        finally:
            waiting.close()
        self.exit_code = int(answer["StatusCode"])
        self.error = ((answer.get("Error") or {}).get("Message")) or ""


def write(fd: int, data: bytes) -> None:
    """All of it. A reader that has left ends the command quietly, as SIGPIPE would."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            select.select([], [fd], [])
        except BrokenPipeError:
            sys.stderr.close()
            os._exit(141)
