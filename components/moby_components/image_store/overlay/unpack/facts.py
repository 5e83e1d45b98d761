"""What unpacking one layer found out, in a form that crosses a pipe."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Facts:
    """`size` bytes of regular files. Paths are relative to the layer's root.

    What needs the layers below to be carried out is only recorded here, so that layers unpack at
    the same time: `implicit` directories take their attributes from below, `whiteouts` and
    `opaque` directories hide what is below, `links` are hard links to files that are not in this
    layer, in order, as (new name, existing name).
    """

    diff_id: str = ""
    size: int = 0
    entries: int = 0
    implicit: list[bytes] = field(default_factory=list)
    whiteouts: list[bytes] = field(default_factory=list)
    opaque: list[bytes] = field(default_factory=list)
    links: list[tuple[bytes, bytes]] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    """What could not be kept on this host ("device nodes skipped"), and how often."""

    def dumps(self) -> bytes:
        return json.dumps(
            {
                "diff_id": self.diff_id,
                "size": self.size,
                "entries": self.entries,
                "implicit": [_text(p) for p in self.implicit],
                "whiteouts": [_text(p) for p in self.whiteouts],
                "opaque": [_text(p) for p in self.opaque],
                "links": [[_text(a), _text(b)] for a, b in self.links],
                "notes": dict(self.notes),
            }
        ).encode()

    @classmethod
    def loads(cls, data: bytes | dict[str, Any]) -> Facts:
        raw = data if isinstance(data, dict) else json.loads(data)
        return cls(
            diff_id=raw["diff_id"],
            size=raw["size"],
            entries=raw["entries"],
            implicit=[_bytes(p) for p in raw["implicit"]],
            whiteouts=[_bytes(p) for p in raw["whiteouts"]],
            opaque=[_bytes(p) for p in raw["opaque"]],
            links=[(_bytes(a), _bytes(b)) for a, b in raw["links"]],
            notes=Counter(raw["notes"]),
        )


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")
