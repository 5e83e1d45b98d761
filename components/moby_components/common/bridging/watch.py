"""Told when somebody else changes the host's nftables rules (iptables-nft writes those too).

A dockerd that starts beside us changes what happens to our packets; an administrator who restarts the
firewall flushes our tables. The kernel announces every change with the process that made it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import threading
from collections.abc import Awaitable, Callable

from moby_components.common.bridging.world import World
from moby_components.common.netlink import wire
from moby_components.common.netlink.sockets import NETFILTER

_GROUP = 7  # NFNLGRP_NFTABLES
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_NEWGEN = (10 << 8) | 15
_PROC_PID, _HEAD = 2, 4
_SETTLE = 0.2
"""Seconds after a change of the others in which theirs usually come by the dozen."""


class Watch:
    """Calls `changed` soon after others changed rules in the world. `open` and `close` are idempotent."""

    def __init__(self, world: World, changed: Callable[[], Awaitable[None]], log: logging.Logger) -> None:
        self._world = world
        self._changed = changed
        self._log = log
        self._socket: socket.socket | None = None
        self._ours: set[int] = set()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        if self._socket is None:
            self._socket = await self._world.run(self._listen)
            asyncio.get_running_loop().add_reader(self._socket, self._read)

    async def close(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        if self._timer:
            self._timer.cancel()
        if self._task:
            await asyncio.gather(self._task, return_exceptions=True)

    def _listen(self) -> socket.socket:
        self._ours.add(threading.get_native_id())
        made = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, NETFILTER
        )
        made.bind((0, 0))
        made.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP)
        return made

    def _read(self) -> None:
        foreign = False
        while self._socket is not None:
            try:
                data = self._socket.recv(1 << 16)
            except BlockingIOError:
                break
            except OSError:  # more was said than fits: a great change
                foreign = True
                continue
            foreign = foreign or any(
                told.type == _NEWGEN and _pid(told.body) not in self._ours for told in wire.messages(data)
            )
        if foreign and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_SETTLE, self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._task = asyncio.create_task(self._tell(self._task), name="nft-watch")

    async def _tell(self, before: asyncio.Task[None] | None) -> None:
        if before:
            await before
        try:
            await self._changed()
        except Exception:
            self._log.exception("looking at the changed firewall failed")


def _pid(body: bytes) -> int:
    found = wire.attributes(body, _HEAD).get(_PROC_PID, b"")
    return int(struct.unpack("!I", found)[0]) if len(found) == 4 else 0
