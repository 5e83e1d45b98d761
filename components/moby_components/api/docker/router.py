"""Finding a route: fixed paths by a dictionary, the others by the few patterns of their first word."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web

    from moby_components.api.docker.call import Call

Handler = Callable[["Call"], Awaitable["web.StreamResponse"]]


@dataclass(frozen=True, slots=True)
class Route:
    """`path` with {name} for one segment and {name:*} for one or more (image names have slashes).

    `stream`: the answer takes as long as the client listens; it ends when the client leaves.
    """

    method: str
    path: str
    handler: Handler
    stream: bool = False


class Router:
    def __init__(self, routes: Iterable[Route]) -> None:
        self._fixed: dict[tuple[str, str], Route] = {}
        self._patterns: dict[tuple[str, str], list[tuple[re.Pattern[str], Route]]] = {}
        for route in routes:
            for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
                if "{" not in route.path:
                    self._fixed.setdefault((method, route.path), route)
                    continue
                word = route.path.split("/", 2)[1]
                self._patterns.setdefault((method, word), []).append((_pattern(route.path), route))

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        route = self._fixed.get((method, path))
        if route is not None:
            return route, {}
        word = path.split("/", 2)[1] if path.startswith("/") else ""
        for pattern, candidate in self._patterns.get((method, word), ()):
            found = pattern.fullmatch(path)
            if found:
                return candidate, found.groupdict()
        return None


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)(:\*)?\}", path)
    text = re.escape(parts[0])
    for name, many, rest in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        text += f"(?P<{name}>{'.+' if many else '[^/]+'})" + re.escape(rest)
    return re.compile(text)
