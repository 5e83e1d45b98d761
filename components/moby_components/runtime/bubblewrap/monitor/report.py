"""Words between the processes of one monitor, and with the daemon that started it: one dictionary a
packet (marshal: the same Python reads and writes it), with descriptors beside it."""

from __future__ import annotations

import array
import marshal
import os

from .lean import Any, Socket, sockets

LARGEST = 65536


class Refused(Exception):
    """What was asked for cannot be. `kind` "invalid" (the request), "gone" (its container), or "failed"
    (the host)."""

    def __init__(self, message: str, kind: str = "failed") -> None:
        super().__init__(message)
        self.kind = kind


def send(link: Socket, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
    """Whoever went away needs no telling."""
    data = marshal.dumps(message)
    try:
        if fds:
            rights = array.array("i", fds)
            link.sendmsg([data], [(sockets.SOL_SOCKET, sockets.SCM_RIGHTS, rights)], sockets.MSG_NOSIGNAL)
        else:
            link.send(data, sockets.MSG_NOSIGNAL)
    except OSError:
        pass


def receive(link: Socket) -> tuple[dict[str, Any] | None, list[int]]:
    """The next message and its descriptors; None when the other side has closed (or executed)."""
    try:
        data, ancillary, _, _ = link.recvmsg(LARGEST, sockets.CMSG_SPACE(8 * 4), sockets.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        return None, []
    fds = array.array("i")
    for level, kind, content in ancillary:
        if level == sockets.SOL_SOCKET and kind == sockets.SCM_RIGHTS:
            fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    return (marshal.loads(data) if data else None), list(fds)


def explain(error: BaseException) -> dict[str, Any]:
    """An exception as the message that tells of it."""
    if isinstance(error, Refused):
        return {"error": str(error), "kind": error.kind}
    if isinstance(error, OSError):
        where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        return {"error": f"{where}{error.strerror or error}", "kind": "failed"}
    return {"error": f"{type(error).__name__}: {error}", "kind": "failed"}
