"""A resolver process on a host of its own (a network namespace with resolvers on its loopback and a
resolv.conf), containers that ask it, and resolvers outside."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset

from moby_components.common.dns import Client, Named, Resolver
from moby_components.common.mounts import pin_network_namespace, umount
from moby_components.common.netns import run_in

T = TypeVar("T")
LOG = logging.getLogger("test.dns")
Answer = Callable[[dns.message.Message, bool], "dns.message.Message | bytes | None"]


class Upstream:
    """A resolver outside, at `address`:53 of a namespace. `answer` gets each query and whether it came
    over TCP; None is silence."""

    def __init__(self, space: Path, address: str, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[tuple[dns.message.Message, tuple[Any, ...], bool]] = []
        family = socket.AF_INET6 if ":" in address else socket.AF_INET

        def bind() -> tuple[socket.socket, socket.socket]:
            udp, tcp = socket.socket(family, socket.SOCK_DGRAM), socket.socket(family, socket.SOCK_STREAM)
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            udp.bind((address, 53))
            tcp.bind((address, 53))
            tcp.listen()
            return udp, tcp

        self.udp, self.tcp = run_in(space, bind)
        for work in (self._datagrams, self._connections):
            threading.Thread(target=work, daemon=True).start()

    def names(self) -> list[str]:
        return [str(query.question[0].name) for query, _, _ in self.asked]

    def close(self) -> None:
        for sock in (self.udp, self.tcp):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _say(self, data: bytes, source: tuple[Any, ...], tcp: bool) -> bytes | None:
        query = dns.message.from_wire(data, ignore_trailing=True)
        self.asked.append((query, source, tcp))
        said = self.answer(query, tcp)
        return said.to_wire() if isinstance(said, dns.message.Message) else said

    def _datagrams(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                data, source = self.udp.recvfrom(65535)
                if not data:
                    return
                said = self._say(data, source, False)
                if said is not None:
                    self.udp.sendto(said, source)

    def _connections(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, source = self.tcp.accept()
                with peer, contextlib.suppress(OSError):
                    peer.settimeout(5)
                    size = int.from_bytes(peer.recv(2, socket.MSG_WAITALL), "big")
                    said = self._say(peer.recv(size, socket.MSG_WAITALL), source, True)
                    if said is not None:
                        peer.sendall(len(said).to_bytes(2, "big") + said)


def address(*texts: str) -> Answer:
    """Everything has these addresses."""

    def answer(query: dns.message.Message, tcp: bool) -> dns.message.Message:
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", *texts))
        return reply

    return answer


def rcode(code: dns.rcode.Rcode) -> Answer:
    def answer(query: dns.message.Message, tcp: bool) -> dns.message.Message:
        reply = dns.message.make_response(query)
        reply.set_rcode(code)
        return reply

    return answer


class Lab:
    """`host` is where the process runs; `box` makes a container's namespace."""

    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="mp-dns-"))
        self.run = self.base / "run"
        self.run.mkdir(mode=0o700)
        self.resolv_conf = self.base / "resolv.conf"
        self.resolv_conf.write_text("nameserver 127.0.0.1\n")
        self._spaces: list[Path] = []
        self._upstreams: list[Upstream] = []
        self.host = self.box("host")
        self.inside(self.host, lambda: subprocess.run(["ip", "link", "set", "lo", "up"], check=True))
        self.process: subprocess.Popen[bytes] | None = None

    def box(self, name: str) -> Path:
        path = self.base / name
        pin_network_namespace(path)
        self._spaces.append(path)
        return path

    def inside(self, space: Path, work: Callable[[], T]) -> T:
        return run_in(space, work)

    def argv(self) -> tuple[str, ...]:
        """The process as its service has it, on the lab's host."""
        argv = Resolver(self.run, LOG).service().argv
        return ("nsenter", f"--net={self.host}", *argv, "--resolv-conf", str(self.resolv_conf))

    def start(self) -> None:
        self.process = subprocess.Popen(self.argv(), stdin=subprocess.DEVNULL)

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def upstream(
        self, at: str = "127.0.0.1", answer: Answer | None = None, space: Path | None = None
    ) -> Upstream:
        made = Upstream(space or self.host, at, answer or address("192.0.2.1"))
        self._upstreams.append(made)
        return made

    def do(self, work: Callable[[Resolver], Coroutine[Any, Any, T]]) -> T:
        """Run `work` with a handle."""

        async def whole() -> T:
            resolver = Resolver(self.run, LOG)
            try:
                async with asyncio.timeout(60):
                    return await work(resolver)
            finally:
                await resolver.close()

        return asyncio.run(whole())

    def tell(self, *records: Named | Client) -> None:
        async def work(resolver: Resolver) -> None:
            for record in records:
                await (resolver.name(record) if isinstance(record, Named) else resolver.serve(record))

        self.do(work)

    def close(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)
        for upstream in self._upstreams:
            upstream.close()
        for space in self._spaces:
            umount(space, lazy=True)
        shutil.rmtree(self.base, ignore_errors=True)


@contextlib.contextmanager
def lab() -> Iterator[Lab]:
    """A lab whose process runs."""
    made = Lab()
    try:
        made.start()
        yield made
    finally:
        made.close()


def awaited(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that is a coroutine."""

    @functools.wraps(test)
    def run(*args: Any, **options: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **options), 60))

    return run


def query(name: str, kind: str = "A", **options: Any) -> dns.message.Message:
    return dns.message.make_query(name, kind, **options)


def ask(
    space: Path,
    name: str | dns.message.Message,
    kind: str = "A",
    *,
    tcp: bool = False,
    at: str = "127.0.0.11",
    timeout: float = 5.0,
    **options: Any,
) -> dns.message.Message:
    """What a container in `space` is answered."""
    message = query(name, kind, **options) if isinstance(name, str) else name
    work = dns.query.tcp if tcp else dns.query.udp
    return run_in(space, lambda: work(message, at, timeout=timeout))


def values(message: dns.message.Message) -> list[str]:
    """The data of its answers as text."""
    return [item.to_text() for rrset in message.answer for item in rrset]
