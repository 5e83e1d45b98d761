"""`diff`: what a container has changed against its image."""

from __future__ import annotations

import click

from moby_py.cli.docker.client import client, segment
from moby_py.cli.docker.complete import names

LETTERS = "CAD"


@click.command(epilog="\b\nExample:\n  NAME diff web")
@click.argument("container", shell_complete=names("container"))
def diff(container: str) -> None:
    """Show which paths a container added (A), changed (C), deleted (D)."""
    for change in client().get(f"/containers/{segment(container)}/changes") or ():
        click.echo(f"{LETTERS[change['Kind']]} {change['Path']}")
