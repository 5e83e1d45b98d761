"""The control socket: a JSON object per line asks, a JSON object per line answers.

    {"id": 1, "op": "publish", "port": {...}}      {"id": 1, "ok": 8080}
    {"id": 2, "op": "withdraw", "keys": [...]}     {"id": 2, "ok": null}
    {"id": 3, "op": "sync", "ports": [{...}]}      {"id": 3, "ok": {"KEY": 8080 or {"errno", "error"}}}
    {"id": 4, "op": "list"}                        {"id": 4, "ok": [{...}]}
                                                   {"id": 5, "errno": 98, "error": "..."}

A "port" has the fields of `moby_components.common.forward.Port`.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from typing import Any

from .loop import IN, OUT, Loop
from .ports import Ports, explain

LARGEST_REQUEST = 8 << 20
MOST_CLIENTS = 16


class Control:
    """Accepts who may speak to us: whoever runs as we do."""

    def __init__(self, loop: Loop, listener: socket.socket, ports: Ports) -> None:
        self._loop, self._listener, self.ports = loop, listener, ports
        self.clients: set[Client] = set()
        loop.watch(listener, IN, self._accept)

    def _accept(self, _: int) -> None:
        try:
            sock, _address = self._listener.accept()
        except OSError:
            return
        _pid, uid, _gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if uid != os.geteuid() or len(self.clients) >= MOST_CLIENTS:
            sock.close()
            return
        sock.setblocking(False)
        self.clients.add(Client(self._loop, self, sock))


class Client:
    """One connection of a daemon."""

    def __init__(self, loop: Loop, control: Control, sock: socket.socket) -> None:
        self._loop, self._control, self._sock = loop, control, sock
        self._in, self._out = bytearray(), bytearray()
        loop.watch(sock, IN, self._ready)

    def _ready(self, events: int) -> None:
        try:
            if events & OUT:
                self._send()
            if not events & ~OUT:
                return
            data = self._sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data or len(self._in) + len(data) > LARGEST_REQUEST:
            self._end()
            return
        self._in += data
        *lines, rest = self._in.split(b"\n")
        self._in = rest
        for line in lines:
            self._out += json.dumps(self._answer(line)).encode() + b"\n"
        try:
            self._send()
        except OSError:
            self._end()

    def _answer(self, line: bytes | bytearray) -> dict[str, Any]:
        id = None
        try:
            request = json.loads(line)
            id = request.get("id")
            return {"id": id, "ok": self._do(request)}
        except (OSError, ValueError) as error:
            return {"id": id, **explain(error)}
        except (KeyError, TypeError, AttributeError) as error:
            return {"id": id, "errno": 0, "error": f"not a request: {error!r}"}

    def _do(self, request: dict[str, Any]) -> Any:
        ports, op = self._control.ports, request["op"]
        if op == "publish":
            return ports.publish(request["port"])
        if op == "withdraw":
            return ports.withdraw(request["keys"])
        if op == "sync":
            return ports.sync(request["ports"])
        if op == "list":
            return ports.listing()
        raise ValueError(f"no operation {op!r}")

    def _send(self) -> None:
        while self._out:
            try:
                count = self._sock.send(self._out)
            except BlockingIOError:
                break
            del self._out[:count]
        self._loop.change(self._sock, IN | OUT if self._out else IN)

    def _end(self) -> None:
        self._control.clients.discard(self)
        self._loop.close(self._sock)
