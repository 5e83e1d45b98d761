"""The CRI log format: `2026-01-02T03:04:05.123456789+00:00 stdout F text`, one entry per line.

Tag F ends a line of the process's; P is a piece of one (the monitor's buffer was full, or the
process ended without a newline).
"""

from __future__ import annotations

from collections.abc import Iterator

from moby_components.engine.moby.clock import nanoseconds, rfc3339
from moby_py.model import LogLine


class Parser:
    """From raw entries to lines. Monitors stamp a whole buffer at once, so the last stamp is kept."""

    def __init__(self) -> None:
        self._raw = b""
        self._stamp = ""

    def parse(self, entry: bytes) -> LogLine | None:
        """One entry without its newline; None for what is none (a torn write, a foreign line)."""
        parts = entry.split(b" ", 3)
        if len(parts) < 3 or parts[1] not in (b"stdout", b"stderr"):
            return None
        if parts[0] != self._raw:
            try:
                self._stamp = _stamp(parts[0].decode("ascii"))
            except ValueError:
                return None
            self._raw = parts[0]
        text = parts[3] if len(parts) == 4 else b""
        if is_end(parts[2]):
            text += b"\n"
        return LogLine(stream=1 if parts[1] == b"stdout" else 2, time=self._stamp, text=text)


def is_end(tag: bytes) -> bool:
    """Tags are a list with colons, of which the first says F or P."""
    return tag.partition(b":")[0] == b"F"


def entry_ends_line(entry: bytes) -> bool:
    parts = entry.split(b" ", 3)
    return len(parts) >= 3 and is_end(parts[2])


def split(buffer: bytes) -> tuple[list[bytes], bytes]:
    """(whole entries, what is left of an unfinished one)."""
    *entries, rest = buffer.split(b"\n")
    return entries, rest


def format_entry(time: str, stream: int, text: bytes) -> Iterator[bytes]:
    """The way back, for tests and converters: the entries of one write."""
    name = b"stdout" if stream == 1 else b"stderr"
    pieces = text.split(b"\n")
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        if not last or piece:
            yield b"%s %s %s %s\n" % (time.encode(), name, b"P" if last else b"F", piece)


def _stamp(text: str) -> str:
    """In UTC with a Z, as Docker shows it."""
    if text.endswith("Z"):
        return text
    if text.endswith("+00:00"):
        return text[:-6] + "Z"
    return rfc3339(nanoseconds(text))
