"""What a build writes: a directory, or a tar of it. `choose` decides by the name of OUT."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from moby_py.outputs.tree import Tree


class Output(Protocol):
    """A form in which a platform leaves the assembler."""

    def check(self, out: Path) -> None:
        """Raises MobyError when `out` is something that a build must not replace."""

    def read(self, out: Path, name: str) -> bytes:
        """One file of the platform that is there now. Raises MobyError without one."""

    def write(self, files: Tree, out: Path, *, complete: Callable[[Path], None]) -> None:
        """Put `files` at `out` in one step; `complete` sees the finished directory before that."""


def choose(out: Path) -> Output:
    """By the name: `x.tar` is a tar, everything else a directory."""
    if out.suffix == ".tar":
        from moby_py.outputs.tar import TarOutput

        return TarOutput()
    from moby_py.outputs.directory import DirectoryOutput

    return DirectoryOutput()
