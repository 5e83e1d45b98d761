"""Something that happened, in the words of Docker's event stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`type` container, image, network, volume, secret, daemon; `action` as Docker's ("die",
    "exec_create: sh"); `actor` the 64-hex id (or a name, as Docker does for volumes)."""

    type: str
    action: str
    actor: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    time_nano: int = 0
    id: int = 0
    """Grows by one with each event of this platform."""
