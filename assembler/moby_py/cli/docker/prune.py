"""`container|image|volume|network|system prune`."""

from __future__ import annotations

from typing import Any

import click

from moby_py.cli.docker.client import Client, client, filters

force = click.option("-f", "--force", is_flag=True, help="Do not ask.")
only = click.option("--filter", "filter_", metavar="KEY=VALUE", multiple=True, help="until=24h, label=...")


def _sure(warning: str, force: bool) -> None:
    if not force:
        click.confirm(f"WARNING! This will remove {warning}.\nAre you sure you want to continue?", abort=True)


def _told(title: str, gone: list[Any] | None) -> None:
    if gone:
        click.echo(f"Deleted {title}:")
        for item in gone:
            click.echo(
                item if isinstance(item, str) else "\n".join(f"{k.lower()}: {v}" for k, v in item.items())
            )
        click.echo()


def _freed(count: int) -> None:
    from moby_py.human import size

    click.echo(f"Total reclaimed space: {size(count)}")


@click.command(
    name="prune", epilog="\b\nExamples:\n  NAME container prune\n  NAME container prune -f --filter until=24h"
)
@force
@only
def containers(force: bool, filter_: tuple[str, ...]) -> None:
    """Remove all stopped containers."""
    _sure("all stopped containers", force)
    _freed(_containers(client(), filter_))


def _containers(api: Client, filter_: tuple[str, ...]) -> int:
    answer = api.post("/containers/prune", None, filters=filters(filter_))
    _told("Containers", answer["ContainersDeleted"])
    return int(answer["SpaceReclaimed"])


@click.command(name="prune", epilog="\b\nExamples:\n  NAME image prune\n  NAME image prune -a -f")
@force
@only
@click.option("-a", "--all", "all_", is_flag=True, help="All without a container, not only nameless ones.")
def images(force: bool, filter_: tuple[str, ...], all_: bool) -> None:
    """Remove images that nothing uses."""
    _sure("all images without a container" if all_ else "all nameless images", force)
    _freed(_images(client(), filter_, all_))


def _images(api: Client, filter_: tuple[str, ...], all_: bool) -> int:
    wanted = filters([*filter_, f"dangling={'false' if all_ else 'true'}"])
    answer = api.post("/images/prune", None, filters=wanted)
    _told("Images", answer["ImagesDeleted"])
    return int(answer["SpaceReclaimed"])


@click.command(name="prune", epilog="\b\nExamples:\n  NAME volume prune\n  NAME volume prune -a -f")
@force
@only
@click.option("-a", "--all", "all_", is_flag=True, help="Named ones too.")
def volumes(force: bool, filter_: tuple[str, ...], all_: bool) -> None:
    """Remove volumes that no container uses."""
    _sure("all volumes without a container" if all_ else "all anonymous volumes without a container", force)
    _freed(_volumes(client(), filter_, all_))


def _volumes(api: Client, filter_: tuple[str, ...], all_: bool) -> int:
    wanted = filters([*filter_, *(["all=true"] if all_ else [])])
    answer = api.post("/volumes/prune", None, filters=wanted)
    _told("Volumes", answer["VolumesDeleted"])
    return int(answer["SpaceReclaimed"])


@click.command(name="prune", epilog="\b\nExample:\n  NAME network prune -f")
@force
@only
def networks(force: bool, filter_: tuple[str, ...]) -> None:
    """Remove networks that no container uses."""
    _sure("all networks of yours without a container", force)
    _networks(client(), filter_)


def _networks(api: Client, filter_: tuple[str, ...]) -> None:
    _told("Networks", api.post("/networks/prune", None, filters=filters(filter_))["NetworksDeleted"])


@click.command(name="prune", epilog="\b\nExamples:\n  NAME system prune\n  NAME system prune -a --volumes -f")
@force
@only
@click.option("-a", "--all", "all_", is_flag=True, help="All images without a container, not only nameless.")
@click.option("--volumes", "volumes_", is_flag=True, help="Anonymous volumes too.")
def system(force: bool, filter_: tuple[str, ...], all_: bool, volumes_: bool) -> None:
    """Remove stopped containers, unused networks and images."""
    _sure("stopped containers, unused networks and images" + (" and volumes" if volumes_ else ""), force)
    api = client()
    freed = _containers(api, filter_)
    _networks(api, filter_)
    if volumes_:
        labels = tuple(text for text in filter_ if not text.startswith("until="))
        freed += _volumes(api, labels, False)
    freed += _images(api, filter_, all_)
    _freed(freed)
