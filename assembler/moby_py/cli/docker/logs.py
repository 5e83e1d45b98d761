"""`logs`: what a container has written."""

from __future__ import annotations

import re

import click

from moby_py.cli.docker.client import client, segment
from moby_py.cli.docker.complete import names


@click.command(epilog="\b\nExamples:\n  NAME logs -f --tail 20 web\n  NAME logs --since 10m -t web")
@click.option("-f", "--follow", is_flag=True, help="Go on while it writes.")
@click.option("-n", "--tail", default="all", metavar="N", help="Only the last N lines.")
@click.option("--since", default="", metavar="TIME", help="From then on: 10m, or 2026-01-02T03:04:05Z.")
@click.option("--until", default="", metavar="TIME", help="Until then.")
@click.option("-t", "--timestamps", is_flag=True, help="With the time of each line.")
@click.option("--details", is_flag=True, help="With what its log options (labels, env, tag) choose.")
@click.argument("container", shell_complete=names("container"))
def logs(
    container: str, follow: bool, tail: str, since: str, until: str, timestamps: bool, details: bool
) -> None:
    """Show what a container has written to stdout and stderr."""
    from moby_py.cli.docker.frames import Demultiplexer
    from moby_py.cli.docker.session import write

    api = client()
    found = api.get(f"/containers/{segment(container)}/json")
    response = api.send(
        "GET",
        f"/containers/{found['Id']}/logs",
        query={
            "stdout": True,
            "stderr": True,
            "follow": follow,
            "tail": tail,
            "since": moment(since),
            "until": moment(until),
            "timestamps": timestamps,
            "details": details,
        },
    )
    demux = None if found["Config"]["Tty"] else Demultiplexer()
    try:
        for data in response.pieces():
            for stream, piece in [(1, data)] if demux is None else demux.feed(data):
                write(2 if stream == 2 else 1, piece)
    finally:
        response.close()


_AGO = re.compile(r"(?:\d+(?:\.\d+)?(?:h|m|s|ms))+")


def moment(text: str) -> str:
    """ "10m" (ago) -> seconds since the epoch; everything else is the API's to read."""
    if not _AGO.fullmatch(text):
        return text
    import time

    from moby_py.cli.docker.parsing import duration

    return f"{time.time() - duration(text, '--since') / 1e9:.9f}"
