"""The namespace in which bridges and gateways live, and the one thread that works in it.

The thread enters the namespace once and keeps a netlink socket and an nftables context there, so that
an attach pays for neither. All work on the world is done by it, one piece after the other: the kernel
would take one after the other anyway.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from moby_components.common import netlink, netns
from moby_components.common.netlink import Netlink, wire
from moby_components.common.nft import Nft

T = TypeVar("T")
_REAPERS = 8
_RTM_DELLINK, _IFNAME, _HEAD, _GROUP_LINK = 17, 3, 16, 1


class World:
    """`path` is the namespace's file, "" for the host's own. Construction touches nothing."""

    def __init__(self, path: str = "") -> None:
        self.path = path
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="world")
        self._reaper = ThreadPoolExecutor(_REAPERS, thread_name_prefix="world-reaper")
        self._home = -1
        self._netlink: Netlink | None = None
        self._nft: Nft | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work`, done in the world's thread. Once begun it is done to its end: who is
        cancelled meanwhile learns so when nothing changes any more."""
        future = asyncio.get_running_loop().run_in_executor(self._worker, self._inside, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if not future.cancel():
                await asyncio.wait([future])
            raise

    async def close(self) -> None:
        """End both threads; what is being removed is gone afterwards."""
        await asyncio.to_thread(self._reaper.shutdown)
        await self.run(self._release)
        self._worker.shutdown(wait=True)

    # -- in the thread -------------------------------------------------------------------------

    @property
    def netlink(self) -> Netlink:
        if self._netlink is None:
            self._netlink = Netlink()
        return self._netlink

    @property
    def nft(self) -> Nft:
        if self._nft is None:
            self._nft = Nft()
        return self._nft

    def within(self, sandbox: int, work: Callable[[], T]) -> T:
        """The result of `work`, done in the namespace of the descriptor `sandbox`."""
        netns.setns(sandbox)
        try:
            return work()
        finally:
            netns.setns(self._home)

    def index(self, name: str) -> int:
        """The index of an interface, 0 where there is none."""
        try:
            return socket.if_nametoindex(name)
        except OSError:
            return 0

    def delete_links(self, names: Sequence[str]) -> None:
        """Remove links and return when they are gone from their namespaces.

        The kernel then takes 15 to 50 ms more to free them, in which the caller of the request is
        held: another thread is, not this one.
        """
        there = [name for name in names if self.index(name)]
        if not there:
            return
        waiting = set(there)
        done = os.eventfd(0, os.EFD_CLOEXEC)
        failure: list[OSError] = []
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as events:
            events.bind((0, _GROUP_LINK))
            reaping = Netlink()
            finished, bell = threading.Event(), os.dup(done)

            def reap() -> None:
                try:
                    with reaping:
                        reaping.send([netlink.delete_link(name) for name in there])
                except OSError as error:
                    failure.append(error)
                finally:
                    finished.set()
                    os.eventfd_write(bell, 1)
                    os.close(bell)

            self._reaper.submit(reap)
            poll = select.poll()
            poll.register(events, select.POLLIN)
            poll.register(done, select.POLLIN)
            while waiting and not finished.is_set():
                ready = {fd for fd, _ in poll.poll()}
                if events.fileno() in ready:
                    waiting -= _gone(events)
        os.close(done)
        if failure:
            raise failure[0]

    def _inside(self, work: Callable[[], T]) -> T:
        if self._home < 0:
            if self.path:
                fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
                netns.setns(fd)
                self._home = fd
            else:
                self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        return work()

    def _release(self) -> None:
        if self._netlink:
            self._netlink.close()
        if self._nft:
            self._nft.close()
        os.close(self._home)
        self._netlink = self._nft = None


def _gone(events: socket.socket) -> set[str]:
    """Names of the links whose end is told; a bridge tells the end of a port as well, earlier."""
    try:
        data = events.recv(1 << 17)
    except OSError:  # more was said than fits: the reaper's own end is waited for
        return set()
    return {
        wire.attributes(told.body, _HEAD).get(_IFNAME, b"").rstrip(b"\0").decode(errors="replace")
        for told in wire.messages(data)
        if told.type == _RTM_DELLINK and told.body[0] == socket.AF_UNSPEC
    }
