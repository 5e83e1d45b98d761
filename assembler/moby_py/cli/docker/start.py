"""`start`: start containers again."""

from __future__ import annotations

import click

from moby_py.cli.docker.client import client, segment
from moby_py.cli.docker.complete import names
from moby_py.cli.docker.each import each


@click.command(epilog="\b\nExamples:\n  NAME start web\n  NAME start -ai shell")
@click.option(
    "-a", "--attach", "attach_", is_flag=True, help="Stay with its output; its exit status is ours."
)
@click.option("-i", "--interactive", is_flag=True, help="Pass stdin on.")
@click.option("--detach-keys", default="", metavar="KEYS", help="Instead of ctrl-p,ctrl-q.")
@click.argument(
    "containers", nargs=-1, required=True, metavar="CONTAINER...", shell_complete=names("container")
)
def start(containers: tuple[str, ...], attach_: bool, interactive: bool, detach_keys: str) -> int:
    """Start containers that were created or have ended."""
    api = client()
    if not attach_ and not interactive:
        return each(containers, lambda name: api.post(f"/containers/{segment(name)}/start"))
    if len(containers) > 1:
        raise click.UsageError("you cannot start and attach multiple containers at once")
    from moby_py.cli.docker.run import attached
    from moby_py.detach_keys import parse

    found = api.get(f"/containers/{segment(containers[0])}/json")
    options = {
        "interactive": interactive and found["Config"]["OpenStdin"],
        "tty": found["Config"]["Tty"],
        "rm": found["HostConfig"]["AutoRemove"],
    }
    return attached(api, found["Id"], options, parse(detach_keys), sig_proxy=True)
