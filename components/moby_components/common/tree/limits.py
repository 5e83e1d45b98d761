"""How much an archive may ask of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from moby_py.errors import DataError

MAX_DEPTH = 512
"""Directories below each other; a deeper tree cannot be named in one path of 4096 bytes."""

MAX_EXTENDED_HEADER = 1 << 20
"""Bytes of one pax header or GNU long name. 64 KiB of extended attributes fit many times over."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`size` in bytes unpacked, `entries` in one archive, `expansion` unpacked : compressed.

    The expansion is judged only beyond `floor` bytes: small layers of zeros are harmless.
    """

    size: int = 64 << 30
    entries: int = 2_000_000
    expansion: int = 200
    floor: int = 256 << 20

    ways: ClassVar[Mapping[str, str]] = {
        word: f"raise image_store's option {option} if this image is meant"
        for word, option in (
            ("size", "max_layer_size"),
            ("entries", "max_layer_entries"),
            ("expansion", "max_expansion"),
        )
    }
    """The hint for each limit that is passed."""

    def check(self, size: int, compressed: int, what: str) -> None:
        """Judge `size` plain bytes out of `compressed` ones. Raises DataError."""
        if size > self.size:
            raise DataError(
                f"cannot unpack {what} - it holds more than {self.size} bytes", hint=self.ways.get("size")
            )
        if size > self.floor and size > compressed * self.expansion:
            raise DataError(
                f"cannot unpack {what} - it expands more than {self.expansion} times",
                hint=self.ways.get("expansion"),
            )

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
