"""`commit`: a container's files as a new image."""

from __future__ import annotations

import click

from moby_py.cli.docker.client import client
from moby_py.cli.docker.complete import names
from moby_py.reference import parse


@click.command(epilog="\b\nExample:\n  NAME commit -m 'with curl' -c 'CMD [\"curl\"]' web web:curl")
@click.option("-a", "--author", default="", help="Who made it.")
@click.option("-m", "--message", default="", help="What was done.")
@click.option("-c", "--change", "changes", multiple=True, help="A Dockerfile instruction (CMD, ENV, ...).")
@click.option("--pause/--no-pause", default=True, help="Freeze it meanwhile.")
@click.argument("container", shell_complete=names("container"))
@click.argument("image", required=False)
def commit(
    container: str, image: str | None, author: str, message: str, changes: tuple[str, ...], pause: bool
) -> None:
    """Make an image of a container's files; print its id."""
    reference = parse(image) if image else None
    made = client().post(
        "/commit",
        None,
        container=container,
        repo=reference.familiar_name() if reference else "",
        tag=reference.tag if reference else "",
        author=author,
        comment=message,
        changes=list(changes),
        pause="1" if pause else "0",
    )
    click.echo(made["Id"])
