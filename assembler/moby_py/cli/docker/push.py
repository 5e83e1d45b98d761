"""`push`: give an image to a registry."""

from __future__ import annotations

import click

from moby_py.cli.docker import progress
from moby_py.cli.docker.client import client, image_path
from moby_py.cli.docker.complete import names
from moby_py.reference import parse


@click.command(epilog="\b\nExample:\n  NAME push localhost:5000/app:1")
@click.option("-q", "--quiet", is_flag=True, help="Only the name at the end.")
@click.argument("image", shell_complete=names("image"))
def push(image: str, quiet: bool) -> None:
    """Upload what the registry lacks of an image."""
    reference = parse(image)
    steps = client().objects(
        "POST",
        f"/images/{image_path(reference.familiar_name())}/push",
        query={"tag": reference.tag},
        headers={"X-Registry-Auth": "e30="},
    )
    progress.show(steps, quiet=quiet)
    if quiet:
        click.echo(str(reference))
