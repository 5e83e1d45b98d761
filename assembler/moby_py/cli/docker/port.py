"""`port`: where a container's ports are on the host."""

from __future__ import annotations

import click

from moby_py.cli.docker.client import client, segment
from moby_py.cli.docker.complete import names
from moby_py.errors import NotFound


@click.command(epilog="\b\nExamples:\n  NAME port web\n  NAME port web 80/tcp")
@click.argument("container", shell_complete=names("container"))
@click.argument("port_", required=False, metavar="[PORT[/PROTO]]")
def port(container: str, port_: str | None) -> None:
    """Show the published ports of a container."""
    found = client().get(f"/containers/{segment(container)}/json")["NetworkSettings"]["Ports"] or {}
    if port_:
        key = port_ if "/" in port_ else f"{port_}/tcp"
        if not found.get(key):
            raise NotFound(f"no public port {key!r} published for {container}")
        found = {key: found[key]}
    for inside, hosts in sorted(found.items()):
        for host in hosts or ():
            ip = host.get("HostIp") or "0.0.0.0"  # noqa: S104 - what docker prints for "all addresses"
            place = f"[{ip}]:{host['HostPort']}" if ":" in ip else f"{ip}:{host['HostPort']}"
            click.echo(place if port_ else f"{inside} -> {place}")
