"""`top`: the processes of a container."""

from __future__ import annotations

import click

from moby_py.cli.docker import table
from moby_py.cli.docker.client import client, segment
from moby_py.cli.docker.complete import names


@click.command(context_settings={"ignore_unknown_options": True}, epilog="\b\nExample:\n  NAME top web aux")
@click.argument("container", shell_complete=names("container"))
@click.argument("ps_args", nargs=-1, type=click.UNPROCESSED)
def top(container: str, ps_args: tuple[str, ...]) -> None:
    """Show the processes of a container (PS_ARGS as ps takes them)."""
    found = client().get(f"/containers/{segment(container)}/top", ps_args=" ".join(ps_args))
    click.echo(table.render(found["Titles"], found["Processes"] or []))
