"""The loop of the monitor's life: copy the process's output to the log and to every attached client,
their input to the process, and see the process end.

One thread, one poll. No byte is dropped: while any client does not take its packet, no output is
read, so that the process itself waits. New connections are taken before output is copied.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct
import termios
import time

from .lean import TYPE_CHECKING, Socket, accept, sockets
from .log import Log

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK = 32768
"""At most so many bytes of output in one packet, and of input from one."""

STALLED = 30.0
"""Once the process has ended, a client that takes nothing for so many seconds is given up."""

_READ = select.POLLIN | select.POLLHUP | select.POLLERR
STDOUT, STDERR = 2, 3


class Client:
    """One attached connection. `pending` is a packet that it has not taken yet; `wrote`: it fed input;
    `shut`: it has ended its input and still reads."""

    __slots__ = ("link", "pending", "shut", "wrote")

    def __init__(self, link: Socket) -> None:
        self.link = link
        self.pending: bytes | None = None
        self.wrote = False
        self.shut = False

    def send(self, packet: bytes) -> bool:
        """False: the client is gone."""
        try:
            self.link.send(packet, sockets.MSG_DONTWAIT | sockets.MSG_NOSIGNAL)
        except BlockingIOError:
            self.pending = packet
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                return False
            self.pending = packet
        else:
            self.pending = None
        return True


class Stdio:
    """`outputs`: descriptor -> stream number. `stdin`: where input goes, -1 for nowhere. `terminal`:
    the pty's master (it is in `outputs` and is `stdin` then), or -1."""

    def __init__(
        self,
        *,
        outputs: dict[int, int],
        stdin: int,
        stdin_once: bool,
        terminal: int,
        log: Log,
        directory: str,
    ) -> None:
        self.outputs = outputs
        self.stdin = stdin
        self.stdin_once = stdin_once
        self.terminal = terminal
        self.log = log
        self.clients: dict[int, Client] = {}
        self.input = b""
        self.end_after_input = False
        self.draining = False
        self.progress = time.monotonic()
        for fd in {*outputs, stdin} - {-1}:
            os.set_blocking(fd, False)
        os.mkfifo(f"{directory}/ctl", 0o600)
        self.ctl = os.open(f"{directory}/ctl", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.ctl_rest = b""
        self.listener = listen(f"{directory}/attach")

    def run(self, ended: int, others: dict[int, Callable[[], None]]) -> None:
        """Until the pidfd `ended` is readable and all output has been taken. `others` are further
        descriptors with their handlers; a handler may remove its own."""
        while not (self.draining and not self.outputs and not self._blocked()):
            poll = select.poll()
            for fd, events in self._interests(ended, others).items():
                poll.register(fd, events)
            happened = dict(poll.poll(1000 if self.draining else None))
            if happened.get(self.listener.fileno()):
                self._accept()
            if happened.get(self.ctl):
                self._control()
            for fd in [fd for fd in others if fd in happened]:
                others[fd]()
            if happened.get(self.stdin, 0) & (select.POLLOUT | select.POLLERR):
                self._feed()
            for fd in [fd for fd in self.clients if fd in happened]:
                self._serve(fd, happened[fd])
            for fd in [fd for fd in self.outputs if happened.get(fd, 0) & _READ]:
                self._copy(fd)
            if not self.draining and happened.get(ended):
                self.draining = True
                self.progress = time.monotonic()
            if self.draining:
                self._drain()

    def _interests(self, ended: int, others: dict[int, Callable[[], None]]) -> dict[int, int]:
        """What to wait for: descriptor -> poll events."""
        events = dict.fromkeys((self.listener.fileno(), self.ctl, *others), select.POLLIN)
        if not self.draining:
            events[ended] = select.POLLIN
        if not self._blocked():
            events |= dict.fromkeys(self.outputs, select.POLLIN)
        if self.input and self.stdin >= 0:
            events[self.stdin] = events.get(self.stdin, 0) | select.POLLOUT
        for fd, client in self.clients.items():
            if client.pending is not None:
                events[fd] = select.POLLOUT
            elif client.shut:
                events[fd] = 0  # POLLHUP comes unasked; POLLIN would come for ever
            elif not self.input:
                events[fd] = select.POLLIN
        return events

    def _blocked(self) -> bool:
        return any(client.pending is not None for client in self.clients.values())

    def close(self) -> None:
        """Before the exit file is written: no client can be in doubt about the end."""
        self.listener.close()
        for client in self.clients.values():
            client.link.close()
        self.clients.clear()
        self.log.close()

    def _accept(self) -> None:
        try:
            link = accept(self.listener)
            self.clients[link.fileno()] = Client(link)
        except OSError:
            pass

    def _copy(self, fd: int) -> bool:
        """One piece of output. False when there is none now."""
        if self._blocked():
            return True
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return False
        except OSError:  # EIO: the last process closed the terminal
            data = b""
        if not data:
            self._close_output(fd)
            return False
        stream = self.outputs[fd]
        self.log.write(stream, data)
        packet = bytes((stream,)) + data
        for number in list(self.clients):
            if not self.clients[number].send(packet):
                self._drop(number)
        return True

    def _drain(self) -> None:
        """The process is gone: take what is left in the pipes, but wait for nobody who holds them."""
        blocked = [number for number, client in self.clients.items() if client.pending is not None]
        if blocked:
            if time.monotonic() - self.progress > STALLED:
                for number in blocked:
                    self._drop(number)
            return
        for fd in list(self.outputs):
            while self._copy(fd):
                if self._blocked():
                    return
            if fd in self.outputs:
                self._close_output(fd)

    def _close_output(self, fd: int) -> None:
        del self.outputs[fd]
        if fd != self.terminal:
            os.close(fd)

    def _serve(self, fd: int, events: int) -> None:
        client = self.clients[fd]
        if client.pending is not None and events & (select.POLLOUT | select.POLLHUP | select.POLLERR):
            if not client.send(client.pending):
                self._drop(fd)
                return
            if client.pending is None:
                self.progress = time.monotonic()
        if not events & _READ or (self.input and not client.shut):
            return
        try:
            data = client.link.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            client.wrote = True
            if self.stdin >= 0 and not self.end_after_input:
                self.input = data
                self._feed()
        elif events & (select.POLLHUP | select.POLLERR):
            # Gone altogether. One that only watched does not end the input of the others.
            if client.wrote:
                self._end_of_input()
            self._drop(fd)
        else:
            client.shut = True
            self._end_of_input()

    def _feed(self) -> None:
        try:
            sent = os.write(self.stdin, self.input)
        except BlockingIOError:
            return
        except OSError:  # nobody reads it any more
            self.input = b""
            self._close_stdin()
            return
        self.input = self.input[sent:]
        if not self.input and self.end_after_input:
            self._close_stdin()

    def _end_of_input(self) -> None:
        if not self.stdin_once or self.stdin < 0 or self.terminal >= 0:
            return
        if self.input:
            self.end_after_input = True
        else:
            self._close_stdin()

    def _close_stdin(self) -> None:
        if self.stdin >= 0 and self.stdin != self.terminal:
            os.close(self.stdin)
        self.stdin = -1

    def _drop(self, fd: int) -> None:
        self.clients.pop(fd).link.close()

    def _control(self) -> None:
        try:
            self.ctl_rest += os.read(self.ctl, 4096)
        except BlockingIOError:
            return
        *lines, self.ctl_rest = self.ctl_rest.split(b"\n")
        self.ctl_rest = self.ctl_rest[-200:]
        for line in lines:
            try:
                kind, height, width = (int(word) for word in line.split())
            except ValueError:
                continue
            if kind == 1 and self.terminal >= 0:
                set_size(self.terminal, height, width)
            elif kind == 2:
                try:
                    self.log.reopen()
                except OSError:
                    pass


def listen(path: str) -> Socket:
    """A SEQPACKET listener at `path`, which may be longer than a socket's name can be."""
    directory, _, name = path.rpartition("/")
    where = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listener = Socket(sockets.AF_UNIX, sockets.SOCK_SEQPACKET)
        old = os.umask(0o077)
        try:
            listener.bind(f"/proc/self/fd/{where}/{name}")
        finally:
            os.umask(old)
        listener.listen(64)
        listener.setblocking(False)
        return listener
    finally:
        os.close(where)


def set_size(terminal: int, height: int, width: int) -> None:
    """Set a terminal's size in characters; its foreground processes get SIGWINCH."""
    size = struct.pack("HHHH", height & 0xFFFF, width & 0xFFFF, 0, 0)
    try:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)
    except OSError:
        pass
