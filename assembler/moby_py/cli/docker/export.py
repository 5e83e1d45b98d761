"""`export`: a container's file system as a tar."""

from __future__ import annotations

import sys

import click

from moby_py.cli.docker.archive import keep
from moby_py.cli.docker.client import client, segment
from moby_py.cli.docker.complete import names
from moby_py.errors import MobyError


@click.command(epilog="\b\nExamples:\n  NAME export -o web.tar web\n  NAME export web | NAME import - flat")
@click.option("-o", "--output", default="", metavar="FILE", help="Write here instead of stdout.")
@click.argument("container", shell_complete=names("container"))
def export(container: str, output: str) -> None:
    """Write a container's file system, without volumes, to a tar."""
    if not output and sys.stdout.isatty():
        raise MobyError("will not write a tar file to a terminal - redirect it", hint="export -o FILE NAME")
    keep(client().send("GET", f"/containers/{segment(container)}/export"), output)
