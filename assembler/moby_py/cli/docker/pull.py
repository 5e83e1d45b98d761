"""`pull`: get images from a registry."""

from __future__ import annotations

import click

from moby_py.cli.docker import progress
from moby_py.cli.docker.client import Client, client


@click.command(
    epilog="\b\nExamples:\n  NAME pull alpine:3\n  NAME pull --platform linux/arm64 localhost:5000/app"
)
@click.option("--platform", default="", metavar="OS/ARCH", help="Of a multi-platform image.")
@click.option("-q", "--quiet", is_flag=True, help="Only the name at the end.")
@click.argument("image")
def pull(image: str, platform: str, quiet: bool) -> None:
    """Get an image from a registry. Every byte is checked against its digest."""
    click.echo(fetch(client(), image, platform=platform, quiet=quiet))


def fetch(api: Client, image: str, *, platform: str = "", quiet: bool = False, err: bool = False) -> str:
    """Pull it; returns its full name. Progress goes to stderr with `err`."""
    from moby_py.reference import parse

    reference = parse(image)
    tag = reference.digest or reference.tag
    steps = api.objects(
        "POST",
        "/images/create",
        query={"fromImage": reference.familiar_name(), "tag": tag, "platform": platform},
        headers=auth_header(reference.domain),
    )
    progress.show(steps, quiet=quiet, err=err)
    return str(reference)


def auth_header(domain: str) -> dict[str, str]:
    """None of our own: the platform looks into its user's config.json and credential helpers."""
    del domain
    return {}
