"""`image from-host`: an image out of programs of this machine; no network needed."""

from __future__ import annotations

import click

from moby_py.cli.docker.client import client


@click.command(name="from-host", epilog="\b\nExample:\n  NAME image from-host -t tools sh ls cat")
@click.option("-t", "--tag", "name", default="host", show_default=True, help="The image's name.")
@click.argument("programs", nargs=-1, required=True, metavar="PROGRAM...")
def from_host(programs: tuple[str, ...], name: str) -> None:
    """Make an image of programs of this host and the libraries they need; print its name and id."""
    made = client().post("/images/from-host", {"programs": list(programs), "reference": name})
    click.echo(f"{(made.get('RepoTags') or [name])[0]} {made['Id']}")
