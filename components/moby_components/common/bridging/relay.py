"""Connections to a published port that no rule can turn: they are accepted here and carried over.

The rules take everything else in the kernel. What is left is [::1], which the kernel routes nowhere
else, and IPv6 clients of a container that has IPv4 only. (After somebody flushed the host's rules it is
all of TCP, until they are loaded again.)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence

from moby_components.common.bridging.ports import check_spare

_CHUNK = 1 << 16
_MOST = 1024
Connect = Callable[[str, int], Awaitable[socket.socket]]


class Relay:
    """Serves listening sockets of one endpoint until `close`. `connect` opens a connection to the
    container, from the world in which it can be reached."""

    def __init__(
        self,
        connect: Connect,
        log: logging.Logger,
        listeners: Sequence[tuple[socket.socket, int]],
        address: str,
    ) -> None:
        """`listeners` are sockets, each with the port at the container's `address` that it leads to.
        Raises OSError where there are not enough descriptors; nothing is left open then."""
        self.listeners = listeners
        self._connect = connect
        self._log = log
        self._carrying: set[asyncio.Task[None]] = set()
        self._accepting: list[asyncio.Task[None]] = []
        self._own: list[socket.socket] = []
        try:
            for listener, _ in listeners:
                # A descriptor of its own: the other one keeps the port whatever happens here.
                own = listener.dup()
                own.setblocking(False)
                self._own.append(own)
                check_spare(own.fileno())
        except OSError:
            for own in self._own:
                own.close()
            raise
        for own, (_, port) in zip(self._own, listeners, strict=True):
            self._accepting.append(asyncio.create_task(self._accept(own, address, port), name="relay"))

    async def close(self) -> None:
        """Stop, and cut what is being carried."""
        tasks: Sequence[asyncio.Task[None]] = (*self._accepting, *self._carrying)
        self._accepting.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for own in self._own:
            own.close()

    async def _accept(self, listener: socket.socket, address: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(listener)
            except OSError as error:
                # Out of descriptors, mostly: those who wait in the backlog are not lost.
                self._log.warning("accepting for %s port %d: %s", address, port, error)
                await asyncio.sleep(1)
                continue
            if len(self._carrying) >= _MOST:
                client.close()
                continue
            task = asyncio.create_task(self._carry(client, address, port), name="relay")
            self._carrying.add(task)
            task.add_done_callback(self._carrying.discard)

    async def _carry(self, client: socket.socket, address: str, port: int) -> None:
        with client, contextlib.suppress(OSError):
            server = await self._connect(address, port)
            with server:
                await asyncio.gather(_copy(client, server), _copy(server, client))


async def _copy(source: socket.socket, target: socket.socket) -> None:
    """Until the source's end, which is passed on; the other direction may go on."""
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(source, _CHUNK):
        await loop.sock_sendall(target, data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
