"""Docker's progress stream, shown: lines that move on a terminal, plain ones elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

import click

from moby_py.cli.docker.terminal import size
from moby_py.errors import MobyError

MOVING = ("Downloading", "Extracting", "Pushing", "Waiting", "Verifying Checksum", "Pulling fs layer")


def show(steps: Iterable[dict[str, Any]], *, quiet: bool = False, err: bool = False) -> list[dict[str, Any]]:
    """Prints what comes, returns the `aux` objects. Raises MobyError for an error in the stream."""
    stream = sys.stderr if err else sys.stdout
    live = stream.isatty() and not quiet
    rows: dict[str, int] = {}
    found: list[dict[str, Any]] = []
    for step in steps:
        if step.get("error"):
            message, _, hint = str(step["error"]).partition("\nhint: ")
            raise MobyError(message, hint=hint or None)
        if "aux" in step:
            found.append(step["aux"])
        text = step.get("stream") or step.get("status") or ""
        if quiet or not text:
            continue
        id = step.get("id", "")
        if not id:
            click.echo(text.rstrip("\n"), err=err)
            rows.clear()
        elif live:
            _move(stream, rows, id, f"{id}: {text} {step.get('progress', '')}".rstrip())
        elif not text.startswith(MOVING):
            click.echo(f"{id}: {text}", err=err)
    return found


def _move(stream: Any, rows: dict[str, int], id: str, line: str) -> None:
    """Rewrite the line of `id`, wherever it is above the cursor. One that has left the screen at its
    top stays as it is; a line never wraps, else the count of rows would be wrong."""
    height, width = size(stream.fileno()) or (24, 80)
    line = line[: width - 1]
    if id not in rows:
        rows[id] = len(rows)
        stream.write(line + "\n")
    elif (up := len(rows) - rows[id]) < height:
        stream.write(f"\x1b[{up}A\r\x1b[2K{line}\x1b[{up}B\r")
    stream.flush()


def counted(pieces: Iterable[bytes], total: int, word: str = "Sending") -> Iterator[bytes]:
    """Pass `pieces` on; on a terminal a line tells how much of them has gone, and goes in the end."""
    if not sys.stderr.isatty():
        yield from pieces
        return
    from time import monotonic

    from moby_py.human import size as human

    gone, told = 0, 0.0
    try:
        for piece in pieces:
            yield piece
            gone += len(piece)
            if monotonic() - told > 0.1:
                told = monotonic()
                text = f"{word} {human(gone)}" + (f" of {human(total)}" if total else "")
                sys.stderr.write(f"\r\x1b[2K{text}")
                sys.stderr.flush()
    finally:
        sys.stderr.write("\r\x1b[2K")
        sys.stderr.flush()
