"""One request as a handler sees it: path arguments, query values in Docker's types, a bounded body."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from moby_components.api.docker.errors import TooLarge
from moby_components.api.docker.versions import Version
from moby_py.errors import InvalidArgument

if TYPE_CHECKING:
    from aiohttp import web

    from moby_components.api.docker.backend import Backend

JSON_LIMIT = 4 * 1024 * 1024
"""Bytes of a JSON body."""

FALSE = frozenset({"", "0", "no", "false", "none"})


@dataclass(frozen=True, slots=True)
class Call:
    request: web.BaseRequest
    backend: Backend
    version: Version
    args: Mapping[str, str]

    def text(self, name: str, default: str = "") -> str:
        return self.request.query.get(name, default)

    def flag(self, name: str, default: bool = False) -> bool:
        """Docker's rule: "", 0, no, false and none are false, all else is true."""
        value = self.request.query.get(name)
        return default if value is None else value.strip().lower() not in FALSE

    def number(self, name: str, default: int | None = None) -> int | None:
        """Raises InvalidArgument for what is no whole number."""
        value = self.request.query.get(name, "")
        if not value:
            return default
        try:
            return int(value)
        except ValueError:
            raise InvalidArgument(f"invalid value {value!r} for {name} - not a whole number") from None

    def size(self) -> tuple[int, int]:
        """(height, width) of a terminal. Raises InvalidArgument."""
        height, width = self.number("h"), self.number("w")
        if height is None or width is None or not (0 <= height <= 65535 and 0 <= width <= 65535):
            raise InvalidArgument("invalid terminal size - h and w are numbers of rows and columns")
        return height, width

    def filters(self, known: Collection[str] | None = None) -> dict[str, list[str]]:
        """`filters` in either form: {"k": {"v": true}} or {"k": ["v"]}. Raises InvalidArgument."""
        text = self.request.query.get("filters", "")
        if not text:
            return {}
        try:
            data = json.loads(text)
            found = {
                str(key): [str(v) for v in values]
                if isinstance(values, list)
                else [str(v) for v, on in values.items() if on]
                for key, values in data.items()
            }
        except (ValueError, AttributeError, RecursionError):
            raise InvalidArgument("invalid filters - not a JSON object of lists") from None
        for key in found:
            if known is not None and key not in known:
                raise InvalidArgument(f"invalid filter '{key}'")
        return found

    async def body(self) -> dict[str, Any]:
        """The JSON object sent; {} for none or null. Raises InvalidArgument, TooLarge."""
        kind = self.request.content_type
        declared = "Content-Type" in self.request.headers
        pieces, total = [], 0
        async for piece in self.request.content.iter_any():
            total += len(piece)
            if total > JSON_LIMIT:
                raise TooLarge(f"request body is too large - at most {JSON_LIMIT} bytes of JSON")
            pieces.append(piece)
        if not total:
            return {}
        if declared and kind != "application/json":
            raise InvalidArgument(f"unsupported Content-Type header ({kind}): must be 'application/json'")
        try:
            data = json.loads(b"".join(pieces))
        except (ValueError, RecursionError) as error:
            raise InvalidArgument(f"invalid JSON: {error}") from None
        if data is None:
            return {}
        if not isinstance(data, dict):
            raise InvalidArgument("invalid JSON: the body is not an object")
        return data
