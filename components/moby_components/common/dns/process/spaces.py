"""Network namespaces, seen from a process with one thread: enter, open sockets, come back."""

from __future__ import annotations

import _thread
import ctypes
import fcntl
import os
import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCGSKNS, IFF_UP = 0x8913, 0x8914, 0x894C, 1
IP_FREEBIND, IPV6_FREEBIND = 15, 78

libc = ctypes.CDLL(None, use_errno=True)
_home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
_returns = libc.setns(_home, CLONE_NEWNET) == 0
"""Whether we may enter where we are: an ordinary user, root of a user namespace of his own, may enter the
namespaces that belong to it and not the host's."""


def inside(fd: int, work: Callable[[], T]) -> T:
    """The result of `work` in the namespace `fd`. Raises OSError where it cannot be entered."""
    if not _returns:
        return _aside(fd, work)
    _setns(fd)
    try:
        return work()
    finally:
        try:
            _setns(_home)
        except OSError:
            # Whatever came next would happen in a container's namespace. The supervisor starts another.
            os._exit(70)


def open_space(path: str) -> int:
    """A descriptor of the namespace whose file is `path`; "" is our own."""
    return os.open(path or "/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def identity(fd: int) -> tuple[int, int]:
    """What tells namespaces apart; not used again while anything (a socket) holds the namespace."""
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def of_socket(sock: socket.socket) -> int:
    """A descriptor of the namespace that a socket lives in: its path may be gone by now."""
    return fcntl.ioctl(sock.fileno(), SIOCGSKNS, 0)


def loopback_up() -> None:
    """Set lo up in this thread's namespace; 127.0.0.0/8 comes with it. Idempotent. Before any `bind`:
    what is bound to 127.0.0.11 earlier answers from 127.0.0.1 for ever."""
    name = b"lo".ljust(16, b"\0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        answer = fcntl.ioctl(sock.fileno(), SIOCGIFFLAGS, name + b"\0" * 24)
        (flags,) = struct.unpack_from("=h", answer, 16)
        if not flags & IFF_UP:
            fcntl.ioctl(sock.fileno(), SIOCSIFFLAGS, name + struct.pack("=h22x", flags | IFF_UP))


def bound(kind: int, address: str, port: int) -> socket.socket:
    """A non-blocking socket at `address`, which need not be there yet. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        if kind == socket.SOCK_STREAM:
            sock.listen(16)
    except BaseException:
        sock.close()
        raise
    return sock


def _aside(fd: int, work: Callable[[], T]) -> T:
    """In a thread that ends there instead of coming back. Nothing else runs meanwhile."""
    found: list[T] = []
    failure: list[BaseException] = []
    done = _thread.allocate_lock()
    done.acquire()

    def enter() -> None:
        try:
            _setns(fd)
            found.append(work())
        except BaseException as error:  # raised again below
            failure.append(error)
        finally:
            done.release()

    _thread.start_new_thread(enter, ())
    done.acquire()
    if failure:
        raise failure[0]
    return found[0]


def _setns(fd: int) -> None:
    if libc.setns(fd, CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), "setns")
