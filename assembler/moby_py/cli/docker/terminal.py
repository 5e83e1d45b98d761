"""Our own terminal: its size, and raw mode that is always undone."""

from __future__ import annotations

import contextlib
import os
import termios
import tty


def size(fd: int) -> tuple[int, int] | None:
    """(height, width), or None without a terminal."""
    try:
        columns, rows = os.get_terminal_size(fd)
    except OSError:
        return None
    return (rows, columns) if rows and columns else None


class Raw:
    """Raw mode from construction to `restore`; nothing where `fd` is no terminal."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._before: list[object] | None = None
        with contextlib.suppress(termios.error):
            self._before = termios.tcgetattr(fd)
            tty.setraw(fd, termios.TCSADRAIN)

    def restore(self) -> None:
        before, self._before = self._before, None
        if before is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._fd, termios.TCSADRAIN, before)  # type: ignore[arg-type]
