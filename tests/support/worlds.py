"""A private "host" for network components: a namespace that plays the machine, and namespaces in it.

What a component does to bridges, iptables and sysctls then happens in that namespace: tests neither see
each other nor the machine's own rules, and "nothing is left" can be asked of the whole of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

from moby_components.common.mounts import pin_network_namespace, umount
from moby_components.common.netns import run_in

T = TypeVar("T")
REMOTE = "192.0.2.2"
HOST = "192.0.2.1"
HOST6 = "fd00:2::1"


def command(*argv: str) -> str:
    """A program's output, run in the namespace of this thread."""
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


class World:
    """Namespaces by name below one folder; `host` is there from the start, with `remote` beside it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: list[Path] = []
        self._servers: list[socket.socket] = []
        for name in ("host", "remote"):
            self.make(name)
            self.inside(name, lambda: command("ip", "link", "set", "lo", "up"))
        remote = str(self.path("remote"))

        def connect() -> None:
            command("ip", "link", "add", "uplink", "type", "veth", "peer", "name", "up0")
            pid = run_in(remote, _sleeper)
            try:
                command("ip", "link", "set", "up0", "netns", str(pid.pid))
            finally:
                pid.kill()
                pid.wait()
            for word in (f"{HOST}/24", f"{HOST6}/64"):
                command("ip", "addr", "add", word, "dev", "uplink", *(["nodad"] if ":" in word else []))
            command("ip", "link", "set", "uplink", "up")

        self.inside("host", connect)

        def reach() -> None:
            command("ip", "addr", "add", f"{REMOTE}/24", "dev", "up0")
            command("ip", "addr", "add", "fd00:2::2/64", "dev", "up0", "nodad")
            command("ip", "link", "set", "up0", "up")

        self.inside("remote", reach)

    def path(self, name: str) -> Path:
        return self._folder / f"ns-{name}"

    def make(self, name: str) -> str:
        """A new empty namespace; its file."""
        path = self.path(name)
        pin_network_namespace(path)
        self._made.append(path)
        return str(path)

    def drop(self, name: str) -> None:
        """The namespace goes, with everything in it that no process holds."""
        path = self.path(name)
        umount(path, lazy=True)
        path.unlink(missing_ok=True)

    def inside(self, name: str, work: Callable[[], T]) -> T:
        return run_in(str(self.path(name)), work)

    def play(self, story: Callable[[], Awaitable[T]]) -> T:
        """A coroutine with an event loop, all of whose threads and children are on the host."""

        async def whole() -> T:
            return await story()

        return self.inside("host", lambda: asyncio.run(whole()))

    def serve(self, name: str, port: int, *, udp: bool = False, words: bytes = b"hello") -> None:
        """A server in the namespace that answers with `words` and the peer's address."""

        def bind() -> socket.socket:
            made = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            made.bind(("::", port))
            if not udp:
                made.listen(16)
            return made

        server = self.inside(name, bind)
        self._servers.append(server)

        def talk() -> None:
            with contextlib.suppress(OSError):
                while True:
                    if udp:
                        _, peer = server.recvfrom(100)
                        if peer is None:  # shut down
                            return
                        server.sendto(words, peer)
                    else:
                        connection, _ = server.accept()
                        with connection:
                            connection.sendall(words)

        threading.Thread(target=talk, daemon=True).start()

    def ask(self, name: str, address: str, port: int, *, udp: bool = False, timeout: float = 2.0) -> bytes:
        """What a server says to a client in namespace `name`; OSError where it cannot be reached."""

        def talk() -> bytes:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM) as client:
                client.settimeout(timeout)
                client.connect((address, port))
                if udp:
                    client.send(b"?")
                return client.recv(100)

        return self.inside(name, talk)

    def resolve(
        self, name: str, server: str, question: str, *, kind: int = 1, timeout: float = 2.0
    ) -> list[str]:
        """Addresses that a DNS server gives a client in namespace `name` ([]: none). OSError: silence."""

        def talk() -> list[str]:
            family = socket.AF_INET6 if ":" in server else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as client:
                client.settimeout(timeout)
                client.connect((server, 53))
                labels = b"".join(bytes([len(p)]) + p.encode() for p in question.split("."))
                client.send(
                    struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1)
                )
                return _addresses(client.recv(4096))

        return self.inside(name, talk)

    def state(self) -> str:
        """Links and rules of the host, to compare before and after."""

        def look() -> str:
            links = command("ip", "-br", "link")
            rules = command("iptables-save") + command("ip6tables-save")
            kept = [line for line in rules.splitlines() if line.startswith("-A") or ":NETAVARK" in line]
            names = sorted(line.split()[0].split("@")[0] for line in links.splitlines())
            return "\n".join([*names, *kept])

        return self.inside("host", look)

    def close(self) -> None:
        for server in self._servers:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            server.close()
        for path in reversed(self._made):
            umount(path, lazy=True)
            path.unlink(missing_ok=True)


def _sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"])


def _addresses(answer: bytes) -> list[str]:
    _, _, questions, count, _, _ = struct.unpack("!6H", answer[:12])
    at = 12
    for _ in range(questions):
        at = _after_name(answer, at) + 4
    found = []
    for _ in range(count):
        at = _after_name(answer, at)
        kind, _, _, length = struct.unpack("!2HIH", answer[at : at + 10])
        data = answer[at + 10 : at + 10 + length]
        at += 10 + length
        if kind in (1, 28):
            found.append(socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, data))
    return sorted(found)


def _after_name(answer: bytes, at: int) -> int:
    while answer[at]:
        if answer[at] & 0xC0:
            return at + 2
        at += answer[at] + 1
    return at + 1


@contextlib.contextmanager
def world(folder: Path) -> Iterator[World]:
    """A world that is gone afterwards, whatever happened."""
    made = World(folder)
    try:
        yield made
    finally:
        made.close()


def eventually(what: Callable[[], T], timeout: float = 5.0) -> T:
    """The first true answer; the last error or answer is raised when the time is over."""
    end = time.monotonic() + timeout
    while True:
        try:
            found = what()
            if found or time.monotonic() > end:
                assert found
                return found
        except OSError:
            if time.monotonic() > end:
                raise
        time.sleep(0.05)


async def soon(what: Callable[[], T], timeout: float = 5.0) -> T:
    """`eventually` for stories: the event loop goes on meanwhile."""
    return await asyncio.to_thread(eventually, what, timeout)
