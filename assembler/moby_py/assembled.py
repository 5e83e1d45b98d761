"""The live components of a platform: what `context.wiring` is to each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar, cast

from moby_py.component import Component
from moby_py.errors import MobyError

K = TypeVar("K", bound=Component)


@dataclass
class Assembled:
    """Filled while the platform opens; a component sees those opened before it."""

    by_kind: dict[str, dict[str, Component]] = field(default_factory=dict)

    def __getitem__(self, kind: type[K]) -> K:
        found = self.by_kind.get(kind.kind)
        if not found:
            raise MobyError(
                f"no {kind.kind} in this platform - something asked for one",
                hint=f"name a {kind.kind} in the blueprint",
            )
        return cast(K, next(iter(found.values())))

    def all(self, kind: type[K]) -> Mapping[str, K]:
        return cast(Mapping[str, K], self.by_kind.get(kind.kind, {}))

    def add(self, kind: str, id: str, component: Component) -> None:
        self.by_kind.setdefault(kind, {})[id] = component
