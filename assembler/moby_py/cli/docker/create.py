"""`create`: make a container without starting it."""

from __future__ import annotations

from typing import Any

import click

from moby_py.cli.docker.client import client
from moby_py.cli.docker.complete import names
from moby_py.cli.docker.container import create as make
from moby_py.cli.docker.create_body import create_body
from moby_py.cli.docker.create_options import create_options


@click.command(
    context_settings={"allow_interspersed_args": False, "help_option_names": ["--help"]},
    epilog="\b\nExample:\n  NAME create --name web -p 8080:80 nginx",
)
@create_options
@click.argument("image", shell_complete=names("image"))
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def create(image: str, command: tuple[str, ...], **options: Any) -> None:
    """Make a container without starting it; print its id."""
    click.echo(make(client(), create_body(options, image, command), options))
