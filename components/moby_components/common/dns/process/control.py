"""The daemon's door: one JSON object per line over a unix socket of mode 0600.

request                                          answer
{"id": 1, "op": "serve", "client": {...}}        {"id": 1, "ports": [UDP, TCP]}
{"id": 2, "op": "sync", "named": [...], ...}     {"id": 2, "ports": {...}, "failed": {"CONTAINER": "why"}}
{"id": 3, "op": "serve", "client": {...}}        {"id": 3, "error": "no such file or directory: /run/..."}
whenever there is something to say               {"log": "..."}
"""

from __future__ import annotations

import json
import os
import socket
import struct

from moby_components.common.dns.process.loop import GONE, READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from moby_components.common.dns.process.loop import Loop
    from moby_components.common.dns.process.server import Server

LARGEST_LINE = 64 << 20
KEPT = 20  # log lines, for a daemon that comes later


class Control:
    def __init__(self, path: str, loop: Loop) -> None:
        self.server: Server | None = None
        self.loop = loop
        self._sessions: set[Session] = set()
        self._log: list[str] = []
        _ask_to_go(path)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.setblocking(False)
        os.umask(0o177)  # mode 0600 from its first moment on
        self._listener.bind(path)
        self._listener.listen(16)
        loop.watch(self._listener.fileno(), READ, self._accept)

    def say(self, text: str) -> None:
        """To the daemon's log: this process writes no file."""
        line = json.dumps({"log": text}) + "\n"
        for session in tuple(self._sessions):
            session.send(line)
        if not self._sessions:
            self._log = [*self._log[-KEPT:], line]

    def greet(self, session: Session) -> None:
        """Tell a daemon that has begun to speak what nobody was there to hear."""
        if session not in self._sessions:
            self._sessions.add(session)
            kept, self._log = self._log, []
            for line in kept:
                session.send(line)

    def leave(self, session: Session) -> None:
        self._sessions.discard(session)

    def _accept(self, _events: int) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        if struct.unpack("=3i", credentials)[1] != os.geteuid():
            sock.close()
            return
        Session(self, sock)


class Session:
    """One connection of a daemon; one that only looks whether we accept says nothing and goes."""

    def __init__(self, control: Control, sock: socket.socket) -> None:
        self._control, self._sock = control, sock
        self._inbox = bytearray()
        self._outbox = b""
        sock.setblocking(False)
        control.loop.watch(sock.fileno(), READ, self._ready)

    def send(self, line: str) -> None:
        if self._sock.fileno() >= 0:
            self._outbox += line.encode()
            self._flush()

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if events & (READ | GONE):
            try:
                said = self._sock.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                said = b""
            if not said or len(self._inbox) > LARGEST_LINE:
                self._close()
                return
            self._control.greet(self)
            start = len(self._inbox)
            self._inbox += said
            while (end := self._inbox.find(b"\n", start)) >= 0:
                line = bytes(self._inbox[:end])
                del self._inbox[: end + 1]
                start = 0
                self._obey(line)

    def _obey(self, line: bytes) -> None:
        number = None
        try:
            request = json.loads(line)
            number = request["id"]
            answer = self._do(request)
        except OSError as error:
            text = (error.strerror or str(error)).lower()
            answer = {"error": f"{text}: {error.filename}" if error.filename else text}
        except Exception as error:  # an answer that does not come holds up a daemon
            answer = {"error": f"not a request: {error!r}"}
        self.send(json.dumps({"id": number, **answer}) + "\n")
        if self._control.server is not None:
            self._control.server.tidy()

    def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        server = self._control.server
        assert server is not None  # noqa: S101 - set before the loop runs
        op = request["op"]
        if op == "name":
            for named in request["named"]:
                server.name(named)
        elif op == "unname":
            server.unname(request["container"], request["network"])
        elif op == "serve":
            server.serve(request["client"])
            return {"ports": server.ports(request["client"]["id"])}
        elif op == "dismiss":
            server.dismiss(request["client"])
        elif op == "sync":
            failed = server.sync(request["named"], request["clients"])
            return {"failed": failed, "ports": {id: server.ports(id) for id in server.askers}}
        elif op == "quit":
            self._control.loop.stop()
        else:
            return {"error": f"no such operation: {op}"}
        return {}

    def _flush(self) -> None:
        try:
            self._outbox = self._outbox[self._sock.send(self._outbox) :]
        except BlockingIOError:
            pass
        except OSError:
            self._close()
            return
        self._control.loop.change(self._sock.fileno(), READ | WRITE if self._outbox else READ)

    def _close(self) -> None:
        if self._sock.fileno() >= 0:
            self._control.leave(self)
            self._control.loop.forget(self._sock.fileno())
            self._sock.close()


def _ask_to_go(path: str) -> None:
    """Where one of us still listens at `path` (its daemon was killed before it could write down that
    it had started it), it goes first: it holds the sockets that we are about to open."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(2.0)
        try:
            peer.connect(path)
            peer.sendall(b'{"id": 0, "op": "quit"}\n')
            while peer.recv(65536):
                pass
        except OSError:
            pass
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
