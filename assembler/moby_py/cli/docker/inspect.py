"""`inspect`: all that is known of any object, as JSON or through a template."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from moby_py.cli.docker.client import ApiError, Client, client, image_path, segment
from moby_py.cli.docker.complete import names
from moby_py.cli.main import report
from moby_py.errors import NotFound

PATHS: dict[str, Callable[[str], str]] = {
    "container": lambda name: f"/containers/{segment(name)}/json",
    "image": lambda name: f"/images/{image_path(name)}/json",
    "network": lambda name: f"/networks/{segment(name)}",
    "volume": lambda name: f"/volumes/{segment(name)}",
    "secret": lambda name: f"/secrets/{segment(name)}",
}


@click.command(epilog="\b\nExamples:\n  NAME inspect web\n  NAME inspect -f '{{.State.ExitCode}}' web")
@click.option("-f", "--format", "template", default="", metavar="TEXT", help="A template: {{.State.Status}}")
@click.option("--type", "kind", type=click.Choice(list(PATHS)), help="Look for this kind only.")
@click.option("-s", "--size", is_flag=True, help="With a container's sizes.")
@click.argument(
    "names",
    nargs=-1,
    required=True,
    metavar="NAME...",
    shell_complete=names("container", "image", "network", "volume", "secret"),
)
def inspect(names: tuple[str, ...], template: str, kind: str | None, size: bool) -> int:
    """Show all that is known of containers, images, volumes ... as JSON."""
    return show(names, template, [kind] if kind else list(PATHS), size=size)


def show(names: tuple[str, ...], template: str, kinds: list[str], *, size: bool = False) -> int:
    from moby_py.cli.docker.template import Template

    form = Template(template) if template and template != "json" else None
    api, found, status = client(), [], 0
    for name in names:
        try:
            value = find(api, name, kinds, size)
        except (ApiError, NotFound) as error:
            report(error)
            status = 1
            continue
        if template == "json":
            click.echo(json.dumps(value))
        elif form is not None:
            click.echo(form.render(value))
        found.append(value)
    if not template:
        click.echo(json.dumps(found, indent=4))
    return status


def find(api: Client, name: str, kinds: list[str], size: bool = False) -> Any:
    """The first kind that has it. Raises NotFound."""
    for kind in kinds:
        try:
            return api.get(PATHS[kind](name), size=size and kind == "container")
        except ApiError as error:
            if error.status == 404 or (len(kinds) > 1 and error.status in (400, 503)):
                continue
            raise
    what = kinds[0] if len(kinds) == 1 else "object"
    raise NotFound(f"no such {what}: {name}")


def _of(kind: str, example: str, field: str) -> click.Command:
    @click.command(
        name="inspect",
        help=f"Show what is known of {kind}s.",
        epilog=f"\b\nExamples:\n  NAME {kind} inspect {example}\n"
        f"  NAME {kind} inspect -f '{{{{.{field}}}}}' {example}",
    )
    @click.option("-f", "--format", "template", default="", metavar="TEXT", help="A template.")
    @click.argument(
        "names", nargs=-1, required=True, metavar=f"{kind.upper()}...", shell_complete=names(kind)
    )
    def command(names: tuple[str, ...], template: str) -> int:
        return show(names, template, [kind])

    return command


inspect_container = _of("container", "web", "State.Status")
inspect_image = _of("image", "alpine:3", "Id")
inspect_network = _of("network", "none", "Driver")
inspect_volume = _of("volume", "data", "Mountpoint")
inspect_secret = _of("secret", "db_password", "Spec.Name")
