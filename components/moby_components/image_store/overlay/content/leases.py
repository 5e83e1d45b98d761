"""What is in use at this moment: locks by name, and leases that garbage collection respects.

All in memory: after a daemon's death nothing is in use, and `open` sweeps.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator


class Locks:
    """One lock per name, there only while somebody holds or awaits it."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @contextlib.asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[None]:
        lock, users = self._locks.get(name, (asyncio.Lock(), 0))
        self._locks[name] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(name)
            if users > 1:
                self._locks[name] = (lock, users - 1)


class Leases:
    """Digests and chain ids that a running operation needs, though no image refers to them yet."""

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()

    @contextlib.contextmanager
    def hold(self, names: Iterable[str] = ()) -> Iterator[Lease]:
        lease = Lease(self._held)
        try:
            lease.add(*names)
            yield lease
        finally:
            lease.drop()

    def __contains__(self, name: object) -> bool:
        return self._held[str(name)] > 0


class Lease:
    """Grows while an operation learns what it needs."""

    def __init__(self, held: Counter[str]) -> None:
        self._held = held
        self._names: list[str] = []

    def add(self, *names: str) -> None:
        self._held.update(names)
        self._names += names

    def drop(self) -> None:
        self._held.subtract(self._names)
        self._held += Counter()  # forget the zeros
        self._names = []
