"""`info`, `version`, `env`."""

from __future__ import annotations

import json
import shlex
from typing import Any

import click

from moby_py import __version__
from moby_py.cli.docker.client import client, socket_path


@click.command(epilog="\b\nExamples:\n  NAME info\n  NAME info -f '{{.DefaultRuntime}}'")
@click.option("-f", "--format", "template", default="", metavar="TEXT", help="json or {{.Field}} ...")
@click.option("--json", "as_json", is_flag=True, help="All of it as JSON.")
def info(template: str, as_json: bool) -> None:
    """Say what this platform is, has and can."""
    found = client().get("/info")
    if _formatted(found, template, as_json):
        return
    lines = {
        "Platform": found["ID"],
        "Version": found["ServerVersion"],
        "Containers": f"{found['Containers']} ({found['ContainersRunning']} running, "
        f"{found['ContainersPaused']} paused, {found['ContainersStopped']} stopped)",
        "Images": found["Images"],
        "Image store": found["Driver"],
        "Runtimes": " ".join(sorted(found["Runtimes"] or {})),
        "Default runtime": found["DefaultRuntime"],
        "Networks": " ".join(found["Plugins"]["Network"] or ()),
        "Cgroup version": found["CgroupVersion"],
        "Kernel": found["KernelVersion"],
        "Operating system": found["OperatingSystem"],
        "CPUs": found["NCPU"],
        "State": found["DockerRootDir"],
        "Socket": client().path,
    }
    width = max(map(len, lines)) + 2
    for title, value in lines.items():
        click.echo(f"{title + ':':<{width}}{value}")
    for warning in found.get("Warnings") or ():
        click.echo(f"WARNING: {warning}", err=True)


@click.command(epilog="\b\nExamples:\n  NAME version\n  NAME version --json")
@click.option(
    "-f", "--format", "template", default="", metavar="TEXT", help="json or {{.Server.Version}} ..."
)
@click.option("--json", "as_json", is_flag=True, help="All of it as JSON.")
def version(template: str, as_json: bool) -> None:
    """Show the versions of this command and of the platform."""
    server = client().get("/version")
    found = {"Client": {"Version": __version__}, "Server": server}
    if _formatted(found, template, as_json):
        return
    click.echo(f"Client:      moby-py {__version__}")
    click.echo(f"Server:      {server['Platform']['Name']}")
    for part in server["Components"]:
        click.echo(f" {part['Name'] + ':':<12}{part['Version']}")
    click.echo(f" {'API:':<12}{server['ApiVersion']} (minimum {server['MinAPIVersion']})")


@click.command(epilog='\b\nExample:\n  eval "$(NAME env)" && docker ps')
@click.pass_obj
def env(directory: str) -> None:
    """Print DOCKER_HOST for docker, Compose and other clients."""
    click.echo(f"export DOCKER_HOST={shlex.quote('unix://' + socket_path(directory))}")


def _formatted(found: Any, template: str, as_json: bool) -> bool:
    if as_json or template == "json":
        click.echo(json.dumps(found, indent=2 if as_json else None))
        return True
    if template:
        from moby_py.cli.docker.template import Template

        click.echo(Template(template).render(found))
        return True
    return False
