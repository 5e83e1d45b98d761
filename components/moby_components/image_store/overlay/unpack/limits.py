"""How much a layer may ask of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

MAX_DEPTH = 512
"""Directories below each other; a deeper tree cannot be named in one path of 4096 bytes."""

MAX_EXTENDED_HEADER = 1 << 20
"""Bytes of one pax header or GNU long name. 64 KiB of extended attributes fit many times over."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`size` in bytes unpacked, `entries` in one layer, `expansion` unpacked : compressed.

    The expansion is judged only beyond `floor` bytes: small layers of zeros are harmless.
    """

    size: int = 64 << 30
    entries: int = 2_000_000
    expansion: int = 200
    floor: int = 256 << 20

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Limits:
        """The limits that a blueprint's `with:` asks for."""
        default = cls()
        return cls(
            size=int(options.get("max_layer_size", default.size)),
            entries=int(options.get("max_layer_entries", default.entries)),
            expansion=int(options.get("max_expansion", default.expansion)),
        )

    def as_json(self) -> dict[str, int]:
        return asdict(self)
