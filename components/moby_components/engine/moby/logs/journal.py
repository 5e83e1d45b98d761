"""journald: each line of a container's log is sent on to systemd's journal, from the file that the
monitor writes.

So the container never waits for the journal, `logs` reads the file, and what a daemon that was killed
had not sent yet is sent by the next one. STATE/containers/ID/journal says how far it came: the time of
the last line sent, and how many lines of just that time were.

https://systemd.io/JOURNAL_NATIVE_PROTOCOL/
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

from moby_components.common.logattributes import Logged, attributes, tag
from moby_components.engine.moby.clock import nanoseconds
from moby_components.engine.moby.logs.reader import read_log
from moby_py.errors import Unavailable
from moby_py.model import LogLine, LogOptions

SOCKET = Path("/run/systemd/journal/socket")
_ERROR, _INFO = b"3", b"6"
_AWAY = (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTCONN, errno.EPIPE)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 30.0
OnEnd = Callable[[Callable[[], None]], None]


def check_there(path: Path) -> None:
    """Raises `Unavailable` in Docker's words: a container whose output would go nowhere is not started."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            link.connect(str(path))
    except OSError as error:
        raise Unavailable(
            "failed to initialize logging driver: journald is not enabled on this host",
            hint=f"nobody listens at {path} ({error.strerror}) - start systemd-journald, or name its "
            "socket with the engine's option journal_socket",
        ) from error


def fields(options: Mapping[str, str], who: Logged) -> dict[str, str]:
    """What all lines of a container carry, named as Docker names them."""
    label = tag(options.get("tag") or "{{.ID}}", who)
    found = {_name(key): value for key, value in attributes(options, who).items()}
    found.pop("", None)
    return {
        **found,
        "CONTAINER_ID": who.id[:12],
        "CONTAINER_ID_FULL": who.id,
        "CONTAINER_NAME": who.name,
        "CONTAINER_TAG": label,
        "IMAGE_NAME": who.image,
        "SYSLOG_IDENTIFIER": label,
    }


def message(common: bytes, line: LogLine) -> bytes:
    """One datagram. A line that goes on in the next one is marked as such."""
    text = line.text.removesuffix(b"\n")
    partial = b"CONTAINER_PARTIAL_MESSAGE=true\n" if text == line.text else b""
    stamp = b"SYSLOG_TIMESTAMP=%s\n" % line.time.encode()
    priority = b"PRIORITY=%s\n" % (_ERROR if line.stream == 2 else _INFO)
    return common + stamp + priority + partial + pair("MESSAGE", text)


def pair(name: str, value: bytes) -> bytes:
    """NAME=value, or with the length in front where a newline is in it."""
    if b"\n" in value:
        return b"%s\n%s%s\n" % (name.encode(), struct.pack("<Q", len(value)), value)
    return b"%s=%s\n" % (name.encode(), value)


async def ship(log: Path, place: Path, common: Mapping[str, str], target: Path, on_end: OnEnd | None) -> None:
    """Send what is new in `log`; with `on_end` (see `read_log`) also what is written until then.

    Never ends by itself while the journal is away: lines wait in the file.
    """
    head = b"".join(pair(name, value.encode()) for name, value in common.items())
    with _Place(place) as at, contextlib.closing(_Link(target)) as link:
        options = LogOptions(follow=on_end is not None, since=at.time / 1e9)
        lines = read_log(log, options, on_end=on_end)
        async with contextlib.aclosing(lines):  # type: ignore[type-var]
            async for line in lines:
                if at.is_new(nanoseconds(line.time)):
                    await link.send(message(head, line))
                    at.save()


def _name(key: str) -> str:
    """A label's name as a field of the journal's: upper case, no underscore in front."""
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in key).upper().lstrip("_")


class _Place:
    """How far it came. Written after each line: a kill may send that one line twice, and never loses one."""

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(path, flags, 0o600)
        words = os.pread(self._fd, 64, 0).split()
        self.time, self.count = (int(words[0]), int(words[1])) if len(words) == 2 else (0, 0)
        self._sent_at, self._skip, self._behind = self.time, self.count, True

    def is_new(self, time: int) -> bool:
        """Counts the line in. Times of one log never fall but by a clock that was set back."""
        if self._behind and time <= self._sent_at and (time < self._sent_at or self._skip):
            self._skip -= time == self._sent_at
            return False
        self._behind = False
        self.count = self.count + 1 if time == self.time else 1
        self.time = time
        return True

    def save(self) -> None:
        os.pwrite(self._fd, b"%020d %010d\n" % (self.time, self.count), 0)

    def __enter__(self) -> _Place:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


class _Link:
    """The journal's socket: waited for when it is full, and again and again when it is away."""

    def __init__(self, target: Path) -> None:
        self._target = str(target)
        self._socket: socket.socket | None = None

    async def send(self, data: bytes) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                link = self._socket = self._socket or self._connect()
                await asyncio.get_running_loop().sock_sendall(link, data)
            except OSError as error:
                self.close()
                if error.errno == errno.EMSGSIZE:
                    return await self._send_file(data)
                if error.errno not in _AWAY:
                    raise
            else:
                return None
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _send_file(self, data: bytes) -> None:
        """Too long for a datagram: the protocol takes a sealed memory file instead."""
        import fcntl

        fd = os.memfd_create("line", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            with os.fdopen(os.dup(fd), "wb") as file:
                file.write(data)
            seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
            await asyncio.to_thread(self._pass, fd)
        finally:
            os.close(fd)

    def _pass(self, fd: int) -> None:
        """Blocking: these are rare."""
        with self._connect() as link:
            link.setblocking(True)
            socket.send_fds(link, [b""], [fd])

    def _connect(self) -> socket.socket:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        link.setblocking(False)
        try:
            link.connect(self._target)
        except BaseException:
            link.close()
            raise
        return link

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
