"""A running forwarder and a world behind it, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from moby_components.common.forward import Forwarder, Port
from moby_components.common.mounts import pin_network_namespace, umount
from moby_components.common.netns import run_in

LOG = logging.getLogger("test.forward")


class Forwarding:
    """The process as a supervisor would start it, and a namespace whose loopback has servers."""

    def __init__(self, udp_idle: float = 90.0) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="mp-fw-"))
        self.world = self.base / "world"
        self.udp_idle = udp_idle
        self.process: subprocess.Popen[bytes] | None = None
        self._servers: list[socket.socket] = []
        pin_network_namespace(self.world)
        self.inside(lambda: subprocess.run(["ip", "link", "set", "lo", "up"], check=True))
        self.start()

    def inside(self, work: Callable[[], Any]) -> Any:
        return run_in(str(self.world), work)

    def client(self) -> Forwarder:
        return Forwarder(self.base, LOG, udp_idle=self.udp_idle)

    def start(self, **options: Any) -> None:
        argv = self.client().service().argv
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, **options)

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def port(self, target: int, **changes: Any) -> Port:
        fields = {
            "key": f"k{target}",
            "host_ip": "127.0.0.1",
            "host_port": 0,
            "protocol": "tcp",
            "address": "127.0.0.1",
            "port": target,
            "world": str(self.world),
        }
        return Port(**{**fields, **changes})

    def server(self, handle: Callable[[socket.socket], None], address: str = "127.0.0.1") -> int:
        """A TCP server inside, a thread per connection; returns its port."""

        def listen() -> socket.socket:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            sock = socket.socket(family)
            sock.bind((address, 0))
            sock.listen(2048)
            return sock

        listener: socket.socket = self.inside(listen)
        self._servers.append(listener)

        def serve() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=_quietly, args=(handle, sock), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        return int(listener.getsockname()[1])

    def udp_server(self, address: str = "127.0.0.1") -> int:
        """Echoes what it gets, with the port it came from in front."""

        def bind() -> socket.socket:
            sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((address, 0))
            return sock

        sock: socket.socket = self.inside(bind)
        self._servers.append(sock)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    data, client = sock.recvfrom(65535)
                    if client is None:  # shut down
                        return
                    sock.sendto(b"%d " % client[1] + data, client)

        threading.Thread(target=serve, daemon=True).start()
        return int(sock.getsockname()[1])

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
        for sock in self._servers:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        umount(self.world, lazy=True)
        shutil.rmtree(self.base)


def _quietly(handle: Callable[[socket.socket], None], sock: socket.socket) -> None:
    with sock, contextlib.suppress(OSError):
        handle(sock)


@contextlib.contextmanager
def forwarding(udp_idle: float = 90.0) -> Iterator[Forwarding]:
    room = Forwarding(udp_idle)
    try:
        yield room
    finally:
        room.close()


def with_client(room: Forwarding, work: Callable[[Forwarder], Any]) -> Any:
    """Run the coroutine function `work` with an open client of the room's forwarder."""

    async def run() -> Any:
        client = room.client()
        await client.open()
        try:
            return await work(client)
        finally:
            await client.close()

    return asyncio.run(run())


def open_descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))
