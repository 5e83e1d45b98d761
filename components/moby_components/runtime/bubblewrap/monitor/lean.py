"""Standard modules without their weight: socket, signal, json, typing and contextlib would take more
time to import than the rest of the monitor to run. `Any` comes from here for the same reason."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as signals
    import socket as sockets
    from typing import Any, NoReturn

    Socket = sockets.socket
else:
    import _signal as signals
    import _socket as sockets

    Socket = sockets.socket
    Any = NoReturn = None

__all__ = ["TYPE_CHECKING", "Any", "NoReturn", "Socket", "accept", "signals", "sockets"]


def accept(listener: Socket) -> Socket:
    """The next connection of a listener; BlockingIOError when there is none."""
    fd, _ = listener._accept()  # type: ignore[attr-defined]
    link = Socket(sockets.AF_UNIX, sockets.SOCK_SEQPACKET, 0, fd)
    link.setblocking(False)
    return link
