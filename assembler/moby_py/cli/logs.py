"""`moby-py logs`: what the platform's daemon wrote."""

from __future__ import annotations

import os
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import TextIO

import click


@click.command(epilog="\b\nExamples:\n  moby-py logs out\n  moby-py logs -f -n 20 out")
@click.argument("directory", default="out", metavar="[OUT]", type=click.Path())
@click.option("-f", "--follow", is_flag=True, help="Go on as it is written (Ctrl-C ends).")
@click.option("-n", "--tail", default=100, show_default=True, help="The last N lines.")
@click.option("--state", metavar="DIR", help="Where its state lives, if it cannot be found.")
def logs(directory: str, follow: bool, tail: int, state: str | None) -> None:
    """Print the log of a platform's daemon. The log of a container: OUT/bin/NAME logs CONTAINER."""
    from collections import deque
    from itertools import chain

    from moby_py.errors import MobyError, PermissionDenied
    from moby_py.platform import load

    built = load(directory, state=state, anyones=True)
    try:
        stream = built.log_file.open(encoding="utf-8", errors="replace")
    except PermissionError:
        raise PermissionDenied(
            f"cannot read {built.log_file} - it belongs to another user",
            hint="run moby-py logs as the user who started the platform",
        ) from None
    except FileNotFoundError:
        raise MobyError(
            f"{built.name} has no log yet - it was never started with this state directory",
            hint=f"moby-py up -d {built.directory}",
        ) from None
    with stream, ExitStack() as stack:
        older = [stack.enter_context(file) for file in _older(built.log_file)]
        for line in deque(chain(*older, stream), maxlen=max(tail, 0)):
            click.echo(line, nl=False)
        if follow:
            _follow(stream, built.log_file)


def _older(log: Path) -> list[TextIO]:
    """The files that rotation has put aside, oldest first."""
    found: list[TextIO] = []
    for number in count(1):
        try:
            found.append(log.with_name(f"{log.name}.{number}").open(encoding="utf-8", errors="replace"))
        except OSError:
            return found[::-1]
    raise AssertionError("count() has no end")


def _follow(stream: TextIO, log: Path) -> None:
    """For ever; over rotations, of which the old file is read to its end first."""
    import time

    while True:
        for line in stream:
            click.echo(line, nl=False)
        try:
            moved = os.fstat(stream.fileno()).st_ino != log.stat().st_ino
        except FileNotFoundError:
            moved = False  # in the middle of a rotation
        if moved:
            for line in stream:  # what was written before it was renamed
                click.echo(line, nl=False)
            stream.close()
            stream = log.open(encoding="utf-8", errors="replace")
        else:
            time.sleep(0.2)  # a terminal's reader: the one place where waiting a little is fine
