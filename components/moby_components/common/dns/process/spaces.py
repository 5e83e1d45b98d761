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
SO_ATTACH_REUSEPORT_CBPF, SKF_NET_OFF = 51, -0x100000  # linux/filter.h

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


def bound(kind: int, address: str, port: int, *, shared: bool = False) -> socket.socket:
    """A non-blocking socket at `address`, which need not be there yet; `shared` with others of ours.
    Raises OSError."""
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
        elif shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((address, port))
        if kind == socket.SOCK_STREAM:
            sock.listen(128)
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


def share_out(address: str, port: int, number: int) -> list[socket.socket]:
    """UDP sockets at one address, datagrams dealt out by the last bits of where they come from: each
    neighbour has a queue of its own, and whoever floods fills only his. Raises OSError."""
    socks: list[socket.socket] = []
    try:
        for _ in range(number):
            socks.append(bound(socket.SOCK_DGRAM, address, port, shared=True))
        # The kernel runs this for the whole group: A = last word of the source address; A % number.
        word = SKF_NET_OFF + (20 if ":" in address else 12)
        code = struct.pack("=" + "HBBI" * 3, 0x20, 0, 0, word & 0xFFFFFFFF, 0x94, 0, 0, number, 0x16, 0, 0, 0)
        program = ctypes.create_string_buffer(code)
        pointer = struct.pack("@HP", 3, ctypes.addressof(program))
        socks[0].setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, pointer)
    except BaseException:
        for sock in socks:
            sock.close()
        raise
    return socks


def _setns(fd: int) -> None:
    if libc.setns(fd, CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), "setns")
