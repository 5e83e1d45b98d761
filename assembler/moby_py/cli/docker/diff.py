"""`diff`: what a container has changed against its image."""

from __future__ import annotations

import click

from moby_py.cli.docker.client import client, segment

LETTERS = "CAD"


@click.command()
@click.argument("container")
def diff(container: str) -> None:
    """Show changed (C), added (A) and deleted (D) paths of a container."""
    for change in client().get(f"/containers/{segment(container)}/changes") or ():
        click.echo(f"{LETTERS[change['Kind']]} {change['Path']}")
