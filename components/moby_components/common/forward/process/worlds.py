"""Network namespaces: the home, where ports are published, and the worlds where the containers are."""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
CLONE_NEWNET = 0x40000000
Identity = tuple[int, int]

_libc = ctypes.CDLL(None, use_errno=True)


class World:
    """A namespace that is held open while a port is published into it."""

    __slots__ = ("fd", "identity", "users")

    def __init__(self, fd: int, identity: Identity) -> None:
        self.fd = fd
        self.identity = identity
        self.users = 0


class Worlds:
    """Made in the main thread, then used from the loop's thread; `serve_home` keeps the main thread."""

    def __init__(self) -> None:
        self._errands: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._known: dict[Identity, World] = {}
        home = self._open("/proc/thread-self/ns/net")
        home.users = 1
        self._home, self._here = home, home.identity

    def serve_home(self) -> None:
        """Run what `at_home` is given. Never returns."""
        while True:
            self._errands.get()()

    def at_home(self, work: Callable[[], T]) -> T:
        """The result of `work`, run in the home namespace. Raises what it raises."""
        if self._here == self._home.identity:
            return work()
        answers: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

        def errand() -> None:
            try:
                answers.put((work(), None))
            except BaseException as error:
                answers.put((None, error))

        self._errands.put(errand)
        result, failure = answers.get()
        if failure is not None:
            raise failure
        found: T = result
        return found

    def take(self, path: str) -> World:
        """The world whose file is `path` ("": home), to be given back. Raises OSError."""
        world = self._open(path) if path else self._home
        world.users += 1
        return world

    def give_back(self, world: World) -> None:
        world.users -= 1
        if not world.users:
            del self._known[world.identity]
            os.close(world.fd)

    def socket(self, world: World, family: int, type: int) -> socket.socket:
        """A socket in that world, non-blocking. Raises OSError."""
        if self._here != world.identity:
            if _libc.setns(world.fd, CLONE_NEWNET) != 0:
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code), "setns")
            self._here = world.identity
        return socket.socket(family, type | socket.SOCK_NONBLOCK)

    def _open(self, path: str) -> World:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        facts = os.fstat(fd)
        identity = facts.st_dev, facts.st_ino
        known = self._known.get(identity)
        if known is not None:
            os.close(fd)
            return known
        world = self._known[identity] = World(fd, identity)
        return world
