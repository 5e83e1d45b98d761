"""Work inside another network namespace, without changing any other thread's and without a process.

setns(2) changes one thread, so each piece of work gets a thread that ends with it. A socket opened
there stays in that namespace wherever it is used afterwards.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


def setns(fd: int, kind: int = CLONE_NEWNET) -> None:
    """setns(2) of the calling thread (Python has it from 3.12 on). Raises OSError."""
    if _libc.setns(fd, kind) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), "setns")


def run_in(path: str | os.PathLike[str], work: Callable[[], T]) -> T:
    """The result of `work`, run in the namespace whose file is `path` ("": here). Blocks; raises
    what `work` raises, and OSError where the namespace cannot be entered."""
    if not os.fspath(path):
        return work()

    def enter() -> T:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            setns(fd)
        finally:
            os.close(fd)
        return work()

    return in_thread(enter)


def in_thread(work: Callable[[], T]) -> T:
    """The result of `work` in a thread that lives no longer: what it changes of itself goes with it."""
    found: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, name="netns")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return found[0]


async def in_netns(path: str | os.PathLike[str], work: Callable[[], T]) -> T:
    """`run_in` from an event loop."""
    return await asyncio.to_thread(run_in, path, work)
