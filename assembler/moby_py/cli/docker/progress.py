"""Docker's progress stream, shown: lines that move on a terminal, plain ones elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import click

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
    """Rewrite the line of `id`, wherever it is above the cursor."""
    if id not in rows:
        rows[id] = len(rows)
        stream.write(line + "\n")
    else:
        up = len(rows) - rows[id]
        stream.write(f"\x1b[{up}A\r\x1b[2K{line}\x1b[{up}B\r")
    stream.flush()
