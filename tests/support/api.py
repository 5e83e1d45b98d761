"""The thinnest client of a platform's API: what the engine takes, without a command line's start-up."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any


class ApiError(Exception):
    """An answer of 400 or more."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Client:
    """One kept-alive connection on a unix socket."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._connection = http.client.HTTPConnection("localhost", timeout=60)
        self._connection.sock = socket.socket(socket.AF_UNIX)
        self._connection.sock.settimeout(60)
        try:
            self._connection.sock.connect(self._path)
        except OSError:
            self.close()
            raise

    def call(self, method: str, path: str, body: object = None) -> Any:
        data = json.dumps(body) if body is not None else None
        headers = {"Content-Type": "application/json"} if data else {}
        self._connection.request(method, path, data, headers)
        with self._connection.getresponse() as answer:
            text = answer.read()
        if answer.status >= 400:
            raise ApiError(answer.status, f"{method} {path} answered {answer.status}: {text.decode()}")
        return json.loads(text) if text and b"\n" not in text.strip() else text

    def run(self, image: str, *command: str, **host: Any) -> int:
        """create, start, wait for the removal: `docker run --rm` without the command line."""
        body = {"Image": image, "Cmd": list(command), "HostConfig": {"AutoRemove": True, **host}}
        id = self.call("POST", "/containers/create", body)["Id"]
        waiting = Client(Path(self._path))
        try:
            waiting._connection.request("POST", f"/containers/{id}/wait?condition=removed")
            self.call("POST", f"/containers/{id}/start")
            with waiting._connection.getresponse() as answer:
                return int(json.loads(answer.read())["StatusCode"])
        finally:
            waiting.close()

    def close(self) -> None:
        self._connection.close()
