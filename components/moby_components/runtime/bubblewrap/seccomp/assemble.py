"""A tiny assembler for classic BPF over `struct seccomp_data` (seccomp(2)).

The jumps of a comparison reach 255 instructions; labels here are reached by an unconditional jump
(32 bits) beside each comparison, so a program can be as long as the kernel allows.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

LONGEST = 4096
"""BPF_MAXINSNS."""

_LOAD_WORD, _AND, _RETURN, _JUMP = 0x20, 0x54, 0x06, 0x05
EQUAL, GREATER, GREATER_EQUAL = 0x15, 0x25, 0x35
NUMBER, ARCH, ARGUMENTS = 0, 4, 16


@dataclass
class Program:
    """Instructions (code, jump if true, jump if false, constant) and labels, in order."""

    _code: list[tuple[int, int, int, int | str]] = field(default_factory=list)
    _labels: dict[str, int] = field(default_factory=dict)
    _count: int = 0

    def new_label(self) -> str:
        self._count += 1
        return f"L{self._count}"

    def label(self, name: str) -> None:
        self._labels[name] = len(self._code)

    def load(self, offset: int) -> None:
        self._code.append((_LOAD_WORD, 0, 0, offset))

    def load_argument(self, index: int, *, high: bool) -> None:
        """Half of a 64-bit argument (both supported byte orders are little-endian)."""
        self.load(ARGUMENTS + 8 * index + (4 if high else 0))

    def mask(self, bits: int) -> None:
        self._code.append((_AND, 0, 0, bits))

    def go(self, label: str) -> None:
        self._code.append((_JUMP, 0, 0, label))

    def go_if(self, comparison: int, constant: int, label: str) -> None:
        self._code.append((comparison, 0, 1, constant))
        self.go(label)

    def go_unless(self, comparison: int, constant: int, label: str) -> None:
        self._code.append((comparison, 1, 0, constant))
        self.go(label)

    def answer(self, action: int) -> None:
        self._code.append((_RETURN, 0, 0, action))

    def encode(self) -> bytes:
        """8 bytes an instruction. Raises ValueError when it is longer than the kernel takes."""
        if len(self._code) > LONGEST:
            raise ValueError(f"{len(self._code)} instructions - the kernel takes {LONGEST}")
        words = []
        for place, (code, true, false, constant) in enumerate(self._code):
            value = self._labels[constant] - place - 1 if isinstance(constant, str) else constant
            words.append(struct.pack("<HBBI", code, true, false, value))
        return b"".join(words)
