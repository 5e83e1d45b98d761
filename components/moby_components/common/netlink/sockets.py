"""A netlink socket: many messages in one send, every answer checked."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Sequence
from types import TracebackType

from moby_components.common.netlink import wire
from moby_components.common.netlink.wire import Message, Received

ROUTE, NETFILTER = 0, 12
_SOL_NETLINK, _EXT_ACK, _CAP_ACK, _STRICT = 270, 11, 10, 12
_BUFFER = 1 << 18
_ABSENT = frozenset({errno.ENODEV, errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL})
_EXTENDED, _CAPPED = 0x200, 0x100
_MESSAGE = 1  # NLMSGERR_ATTR_MSG


class NetlinkError(OSError):
    """The kernel refused one message; `strerror` is its own explanation where it gave one."""


class Netlink:
    """One socket, of the network namespace that the calling thread is in. Blocks; one user at a time."""

    def __init__(self, protocol: int = ROUTE) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        try:
            self._socket.bind((0, 0))
            for option in (_EXT_ACK, _CAP_ACK, _STRICT):
                with contextlib.suppress(OSError):
                    self._socket.setsockopt(_SOL_NETLINK, option, 1)
        except OSError:
            self._socket.close()
            raise
        self._sequence = 0

    def __enter__(self) -> Netlink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, messages: Sequence[Message]) -> None:
        """Send all in one go and wait for every acknowledgement. The kernel works through all of
        them whatever fails; NetlinkError for the first that failed."""
        if not messages:
            return
        first = self._sequence + 1
        self._sequence += len(messages)
        encoded = [message.encode(first + number) for number, message in enumerate(messages)]
        self._socket.send(b"".join(encoded))
        waiting = dict(enumerate(messages, first))
        failure: NetlinkError | None = None
        while waiting:
            for answer in wire.messages(self._receive()):
                message = waiting.get(answer.sequence)
                if message is None or answer.type != wire.ERROR:
                    continue
                del waiting[answer.sequence]
                problem = _problem(answer, message)
                failure = failure or problem
        if failure:
            raise failure

    def dump(self, message: Message) -> list[Received]:
        """What the kernel lists in answer to `message`: read to its end here, since the kernel takes no
        further request (EBUSY) from a socket whose reader left a list half-read."""
        self._sequence += 1
        self._socket.send(message.encode(self._sequence))
        found: list[Received] = []
        while True:
            for answer in wire.messages(self._receive()):
                if answer.sequence != self._sequence:
                    continue
                if answer.type == wire.DONE:
                    return found
                if answer.type == wire.ERROR:
                    problem = _problem(answer, message)
                    if problem:
                        raise problem
                    return found
                found.append(answer)

    def _receive(self) -> bytes:
        return self._socket.recv(_BUFFER)


def _problem(answer: Received, message: Message) -> NetlinkError | None:
    code = -int(struct.unpack_from("=i", answer.body)[0])
    if code == 0 or (message.absent_ok and code in _ABSENT) or (message.present_ok and code == errno.EEXIST):
        return None
    said = ""
    if answer.flags & _EXTENDED:
        said = wire.attributes(answer.body, 20).get(_MESSAGE, b"").rstrip(b"\0").decode(errors="replace")
    return NetlinkError(code, said or os.strerror(code), message.label or None)
