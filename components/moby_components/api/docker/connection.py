"""Connections that keep what a hasty client sends behind an upgrade request.

aiohttp's parser drops those bytes (it knows websockets only) or takes them for a broken request.
Here the stream is cut at the end of the upgrade request: HTTP sees no byte beyond it, and whoever
takes the connection over finds the rest in `early`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

EARLY_LIMIT = 1 << 20
"""Bytes kept before the client is made to wait."""

_UPGRADE = re.compile(rb"\r\nupgrade:[ \t]*tcp[ \t]*\r\n", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,10})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)


class Connection(web.RequestHandler):
    """`early` is None outside of an upgrade request."""

    def __init__(self, manager: web.Server, **options: Any) -> None:
        super().__init__(manager, loop=asyncio.get_running_loop(), **options)
        self.early: bytearray | None = None
        self._left = 0

    def data_received(self, data: bytes) -> None:
        if self.early is None:
            length = self._upgrade_length(data)
            if length is None:
                super().data_received(data)
                return
            self.early, self._left = bytearray(), length
        mine, rest = data[: self._left], data[self._left :]
        self._left -= len(mine)
        if mine:
            super().data_received(mine)
        if rest and self.early is not None:
            self.early += rest
            if len(self.early) > EARLY_LIMIT and isinstance(self.transport, asyncio.Transport):
                self.transport.pause_reading()

    def settle(self) -> None:
        """The upgrade was declined: what came behind is the next request after all."""
        early, self.early = self.early, None
        if early and self.transport is not None:
            super().data_received(bytes(early))

    def _upgrade_length(self, data: bytes) -> int | None:
        """How long an upgrade request is that begins (and whose head ends) in `data`."""
        if not data.startswith(b"POST ") or self._current_request is not None or self._messages:
            return None
        end = data.find(b"\r\n\r\n")
        head = data[: end + 2]
        if end < 0 or not _UPGRADE.search(head) or _CHUNKED.search(head):
            return None
        length = _LENGTH.search(head)
        return end + 4 + (int(length[1]) if length else 0)


class HttpServer(web.Server):
    """A server whose connections are `Connection`s."""

    def __init__(
        self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], **options: Any
    ) -> None:
        super().__init__(handler, handler_cancellation=True)
        self._options = options

    def __call__(self) -> Connection:
        return Connection(self, **self._options)
