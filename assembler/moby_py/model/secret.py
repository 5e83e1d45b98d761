"""A secret as anyone may see it: never the value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRecord:
    """`id` 25 characters as swarm's; times RFC 3339; `version` grows with each update."""

    id: str
    name: str
    created: str
    updated: str
    version: int = 1
    labels: Mapping[str, str] = field(default_factory=dict)
