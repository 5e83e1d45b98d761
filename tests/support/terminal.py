"""A person at a terminal: a program on a pty, typed to, its screen read."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType


class Terminal:
    """`with Terminal(argv) as t: t.expect("#"); t.send("exit 3\\n"); assert t.wait() == 3`"""

    def __init__(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, size: tuple[int, int] = (24, 80)
    ) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.execvpe(argv[0], list(argv), dict(env or os.environ))
            finally:
                os._exit(127)
        self.output = ""
        self._read_to = 0
        self._status: int | None = None
        self.resize(*size)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)

    def resize(self, height: int, width: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("4H", height, width, 0, 0))

    def send(self, text: str | bytes) -> None:
        os.write(self.fd, text.encode() if isinstance(text, str) else text)

    def expect(self, text: str, seconds: float = 20) -> str:
        """Read until `text` appears beyond what earlier calls consumed."""
        deadline = time.monotonic() + seconds
        while (at := self.output.find(text, self._read_to)) < 0:
            left = deadline - time.monotonic()
            if left <= 0 or not self._more(left):
                raise AssertionError(f"{text!r} did not appear; the terminal shows {self.plain!r}")
        self._read_to = at + len(text)
        return self.output[:at]

    @property
    def plain(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.output)

    def wait(self, seconds: float = 20) -> int:
        """The program's exit status, after its last output was read."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and self._more(left):
            pass
        while time.monotonic() < deadline + 2:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
                return self._status
            time.sleep(0.02)
        raise AssertionError(f"the program did not end; the terminal shows {self.plain!r}")

    def _more(self, seconds: float) -> bool:
        ready, _, _ = select.select([self.fd], [], [], seconds)
        if not ready:
            return False
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        self.output += data.decode(errors="replace")
        return bool(data)
