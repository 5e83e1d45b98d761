"""The real api/docker in a thread of its own, over the doubles. `with serving(tmp_path) as host:`"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moby_py.component import Context, Dirs, PlatformInfo
from support.api_double import DoubleEngine
from support.api_stores import DoubleSecrets, DoubleStore


class Wired:
    def __init__(self, *parts: Any) -> None:
        self.parts = {part.kind: part for part in parts}

    def __getitem__(self, kind: Any) -> Any:
        return self.parts[kind.kind]

    def all(self, kind: Any) -> dict[str, Any]:
        part = self.parts.get(kind.kind)
        return {"x": part} if part else {}


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(self.path)


@dataclass
class Host:
    socket: str
    engine: DoubleEngine
    store: DoubleStore
    secrets: DoubleSecrets
    loop: asyncio.AbstractEventLoop
    home: Path

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = UnixConnection(self.socket)
        try:
            if isinstance(body, dict | list):
                body = json.dumps(body)
                headers = {"Content-Type": "application/json", **(headers or {})}
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def json(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        status, headers, data = self.request(method, path, body)
        if data:
            assert headers["Content-Type"] == "application/json"
        return status, json.loads(data) if data else None

    @property
    def env(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "TERM": "xterm",
            "DOCKER_HOST": f"unix://{self.socket}",
        }

    def docker(
        self, *args: str, input: bytes | None = None, timeout: float = 30
    ) -> subprocess.CompletedProcess:
        """The real docker command line against this server."""
        extra = {"input": input} if input is not None else {"stdin": subprocess.DEVNULL}
        return subprocess.run(["docker", *args], env=self.env, capture_output=True, timeout=timeout, **extra)


@contextlib.contextmanager
def serving(tmp: Path, *, secrets: bool = True) -> Iterator[Host]:
    from moby_components.api.docker.component import Docker

    run = tmp / "r"
    dirs = Dirs(state=tmp / "s", run=run / "api", config=tmp / "c")
    for path in (dirs.state, dirs.run):
        path.mkdir(parents=True, mode=0o700)
    store = DoubleStore()
    store.add("docker.io/library/busybox:1")
    ready: threading.Event = threading.Event()
    box: dict[str, Any] = {}

    async def main() -> None:
        engine = DoubleEngine(store)
        vault = DoubleSecrets()
        parts = [engine, store, *([vault] if secrets else [])]
        api = Docker(
            Context(
                platform=PlatformInfo(name="testing", directory=tmp, state=tmp / "s", run=run),
                id="docker",
                options={"group": ""},
                dirs=dirs,
                wiring=Wired(*parts),
                hooks=None,  # type: ignore[arg-type]
            )
        )
        await api.open()
        stop = asyncio.Event()
        box.update(
            host=Host(str(api.socket_path), engine, store, vault, asyncio.get_running_loop(), tmp),
            stop=stop,
        )
        ready.set()
        await stop.wait()
        await engine.shutdown()
        await api.close()
        assert not api.socket_path.exists()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=2)
        box["left"] = [t for t in others if not t.done()]

    thread = threading.Thread(target=lambda: box.update(error=_run(main, ready)))
    thread.start()
    assert ready.wait(20)
    if "host" not in box:
        thread.join()
        raise box["error"]
    try:
        yield box["host"]
    finally:
        box["host"].loop.call_soon_threadsafe(box["stop"].set)
        thread.join(20)
    if box.get("error"):
        raise box["error"]
    assert box["left"] == []


def _run(main: Any, ready: threading.Event) -> BaseException | None:
    try:
        asyncio.run(main())
    except BaseException as error:
        return error
    finally:
        ready.set()
    return None
