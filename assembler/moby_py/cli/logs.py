"""`moby-py logs`: what the platform's daemon wrote."""

from __future__ import annotations

import click


@click.command(epilog="\b\nExamples:\n  moby-py logs out\n  moby-py logs -f -n 20 out")
@click.argument("directory", default="out", metavar="[OUT]", type=click.Path())
@click.option("-f", "--follow", is_flag=True, help="Go on as it is written (Ctrl-C ends).")
@click.option("-n", "--tail", default=100, show_default=True, help="The last N lines.")
@click.option("--state", metavar="DIR", help="Where its state lives, if it cannot be found.")
def logs(directory: str, follow: bool, tail: int, state: str | None) -> None:
    """Print the log of a platform's daemon. The log of a container: OUT/bin/NAME logs CONTAINER."""
    import time
    from collections import deque

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
    with stream:
        for line in deque(stream, maxlen=max(tail, 0)):
            click.echo(line, nl=False)
        while follow:
            line = stream.readline()
            if line:
                click.echo(line, nl=False)
            else:
                time.sleep(0.2)  # a terminal's reader: the one place where waiting a little is fine
